// The JDK's own java.net.http: plain CONNECT alone, no TLS to a proxy.
// See clients.py for the variables.
import java.io.FileInputStream;
import java.net.Authenticator;
import java.net.InetSocketAddress;
import java.net.PasswordAuthentication;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class JdkClient {
	static SSLContext trust() throws Exception {
		KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
		store.load(null, null);
		try (FileInputStream in = new FileInputStream(System.getenv("RELAY_CA"))) {
			store.setCertificateEntry("ca",
			    CertificateFactory.getInstance("X.509").generateCertificate(in));
		}
		TrustManagerFactory trusted = TrustManagerFactory.getInstance(
		    TrustManagerFactory.getDefaultAlgorithm());
		trusted.init(store);
		SSLContext context = SSLContext.getInstance("TLS");
		context.init(null, trusted.getTrustManagers(), null);
		return context;
	}

	public static void main(String[] plan) throws Exception {
		URI proxy = URI.create(System.getenv("RELAY_PROXY"));
		HttpClient.Builder builder = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1)
		    .sslContext(trust())
		    .proxy(ProxySelector.of(new InetSocketAddress(proxy.getHost(), proxy.getPort())));
		if (System.getenv("RELAY_KEY") != null)
			builder.authenticator(new Authenticator() {
				@Override
				protected PasswordAuthentication getPasswordAuthentication() {
					if (getRequestorType() != RequestorType.PROXY)
						return null;
					return new PasswordAuthentication(System.getenv("RELAY_USER"),
					    System.getenv("RELAY_KEY").toCharArray());
				}
			});
		HttpClient client = builder.build();
		for (int i = 0; i < plan.length; i += 3) {
			HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(plan[i + 1]))
			    .method(plan[i], plan[i + 2].equals("-") ? BodyPublishers.noBody() :
			        BodyPublishers.ofFile(Path.of(plan[i + 2])));
			HttpResponse<byte[]> r = client.send(request.build(), BodyHandlers.ofByteArray());
			Files.write(Path.of(System.getenv("RELAY_OUT"), String.valueOf(i / 3)), r.body());
			System.out.println(r.statusCode() + " " +
			    r.headers().firstValue("x-evervault-error-code").orElse("-"));
		}
	}
}
