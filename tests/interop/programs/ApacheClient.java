// Apache HttpClient 4, what Java SDKs use: TLS to the proxy, credentials after a 407.
// See clients.py for the variables.
import java.io.File;
import java.io.FileInputStream;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import org.apache.http.Header;
import org.apache.http.HttpHost;
import org.apache.http.auth.AuthScope;
import org.apache.http.auth.UsernamePasswordCredentials;
import org.apache.http.client.methods.CloseableHttpResponse;
import org.apache.http.client.methods.RequestBuilder;
import org.apache.http.entity.ByteArrayEntity;
import org.apache.http.entity.ContentType;
import org.apache.http.impl.NoConnectionReuseStrategy;
import org.apache.http.impl.client.BasicCredentialsProvider;
import org.apache.http.impl.client.CloseableHttpClient;
import org.apache.http.impl.client.HttpClientBuilder;
import org.apache.http.ssl.SSLContextBuilder;
import org.apache.http.util.EntityUtils;

public class ApacheClient {
	static SSLContext trust(String... names) throws Exception {
		KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
		store.load(null, null);
		for (String name : names)
			try (FileInputStream in = new FileInputStream(System.getenv(name))) {
				store.setCertificateEntry(name,
				    CertificateFactory.getInstance("X.509").generateCertificate(in));
			}
		return SSLContextBuilder.create().loadTrustMaterial(store, null).build();
	}

	static CloseableHttpClient client() throws Exception {
		URI proxy = URI.create(System.getenv("RELAY_PROXY"));
		// One trust store for both: the destination's issuer and the proxy's.
		HttpClientBuilder builder = HttpClientBuilder.create()
		    .setSSLContext(System.getenv("RELAY_PROXY").startsWith("https") ?
		        trust("RELAY_CA", "RELAY_PROXY_CA") : trust("RELAY_CA"))
		    .disableAutomaticRetries().disableContentCompression()
		    .setProxy(new HttpHost(proxy.getHost(), proxy.getPort(), proxy.getScheme()));
		if (System.getenv("RELAY_KEY") != null) {
			BasicCredentialsProvider credentials = new BasicCredentialsProvider();
			credentials.setCredentials(new AuthScope(proxy.getHost(), proxy.getPort()),
			    new UsernamePasswordCredentials(System.getenv("RELAY_USER"),
			        System.getenv("RELAY_KEY")));
			builder.setDefaultCredentialsProvider(credentials);
		}
		if (!"yes".equals(System.getenv("RELAY_KEEP")))
			builder.setConnectionReuseStrategy(NoConnectionReuseStrategy.INSTANCE);
		return builder.build();
	}

	public static void main(String[] plan) throws Exception {
		try (CloseableHttpClient client = client()) {
			for (int i = 0; i < plan.length; i += 3) {
				RequestBuilder request = RequestBuilder.create(plan[i]).setUri(plan[i + 1]);
				if (!plan[i + 2].equals("-"))
					request.setEntity(new ByteArrayEntity(
					    Files.readAllBytes(Path.of(plan[i + 2])),
					    ContentType.APPLICATION_JSON));
				if (System.getenv("RELAY_INNER_KEY") != null)
					request.setHeader("Proxy-Authorization",
					    System.getenv("RELAY_INNER_KEY"));
				try (CloseableHttpResponse r = client.execute(request.build())) {
					byte[] body = EntityUtils.toByteArray(r.getEntity());
					Files.write(new File(System.getenv("RELAY_OUT"),
					    String.valueOf(i / 3)).toPath(), body);
					Header code = r.getFirstHeader("x-evervault-error-code");
					System.out.println(r.getStatusLine().getStatusCode() + " " +
					    (code == null ? "-" : code.getValue()));
				}
			}
		}
	}
}
