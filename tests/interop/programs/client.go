// Go net/http: see clients.py for the variables.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func trust() *x509.CertPool {
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(os.Getenv("RELAY_CA"))
	must(err)
	pool.AppendCertsFromPEM(pem)
	return pool
}

func transport() *http.Transport {
	proxy, err := url.Parse(os.Getenv("RELAY_PROXY"))
	must(err)
	t := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: trust()},
		DisableKeepAlives: os.Getenv("RELAY_KEEP") != "yes",
	}
	key := os.Getenv("RELAY_KEY")
	if key != "" && os.Getenv("RELAY_WAY") == "bare" {
		t.ProxyConnectHeader = http.Header{"Proxy-Authorization": {key}}
	} else if key != "" {
		proxy.User = url.UserPassword(os.Getenv("RELAY_USER"), key)
	}
	t.Proxy = http.ProxyURL(proxy)
	return t
}

func send(client *http.Client, method, to, file string) (*http.Response, []byte) {
	var body io.Reader
	if file != "-" {
		data, err := os.ReadFile(file)
		must(err)
		body = bytes.NewReader(data)
	}
	request, err := http.NewRequest(method, to, body)
	must(err)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if key := os.Getenv("RELAY_INNER_KEY"); key != "" {
		request.Header.Set("Proxy-Authorization", key)
	}
	answer, err := client.Do(request)
	must(err)
	data, err := io.ReadAll(answer.Body)
	must(err)
	must(answer.Body.Close())
	return answer, data
}

func main() {
	client := &http.Client{Transport: transport()}
	for i := 1; i+2 < len(os.Args); i += 3 {
		answer, data := send(client, os.Args[i], os.Args[i+1], os.Args[i+2])
		out := filepath.Join(os.Getenv("RELAY_OUT"), strconv.Itoa(i/3))
		must(os.WriteFile(out, data, 0o600))
		code := answer.Header.Get("x-evervault-error-code")
		if code == "" {
			code = "-"
		}
		fmt.Println(answer.StatusCode, code)
	}
}
