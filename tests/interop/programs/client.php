<?php
// PHP curl: see clients.py for the variables.
$handle = null;
for ($i = 1; $i + 2 < $argc; $i += 3) {
    if ($handle === null || getenv('RELAY_KEEP') !== 'yes') {
        $handle = curl_init();
    }
    curl_reset($handle);
    $headers = [];
    $code = '-';
    $options = [
        CURLOPT_URL => $argv[$i + 1],
        CURLOPT_CUSTOMREQUEST => $argv[$i],
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_PROXY => getenv('RELAY_PROXY'),
        CURLOPT_CAINFO => getenv('RELAY_CA'),
        CURLOPT_PROXY_CAINFO => getenv('RELAY_PROXY_CA'),
        CURLOPT_HEADERFUNCTION => function ($h, $line) use (&$code) {
            if (preg_match('/^x-evervault-error-code: (\S+)/i', $line, $found)) {
                $code = $found[1];
            }
            return strlen($line);
        },
    ];
    if (getenv('RELAY_KEY')) {
        $options[CURLOPT_PROXYUSERPWD] = getenv('RELAY_USER') . ':' . getenv('RELAY_KEY');
    }
    if (getenv('RELAY_INNER_KEY')) {
        $headers[] = 'Proxy-Authorization: ' . getenv('RELAY_INNER_KEY');
    }
    if ($argv[$i + 2] !== '-') {
        $options[CURLOPT_POSTFIELDS] = file_get_contents($argv[$i + 2]);
        $headers[] = 'Content-Type: application/json';
        $headers[] = 'Expect:';
    }
    $options[CURLOPT_HTTPHEADER] = $headers;
    curl_setopt_array($handle, $options);
    $body = curl_exec($handle);
    if ($body === false) {
        fwrite(STDERR, curl_error($handle) . "\n");
        exit(1);
    }
    file_put_contents(getenv('RELAY_OUT') . '/' . intdiv($i, 3), $body);
    echo curl_getinfo($handle, CURLINFO_RESPONSE_CODE), ' ', $code, "\n";
}
