"""Link certificates that `relayctl init` does not make: of any role and name, of a
foreign CA, late ones."""
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from conftest import CA


class LinkCA(CA):
    """A link CA that signs whatever a test asks for: the installation's own one,
    or a foreign one of the same name."""

    def __init__(self, stack, folder, foreign=False):
        link = stack.dir / "link"
        own = x509.load_pem_x509_certificate((link / "ca.pem").read_bytes())
        super().__init__(folder)
        self.subject = own.subject
        if not foreign:
            self.key = serialization.load_pem_private_key((link / "ca.key").read_bytes(), None)

    def role(self, *uris, cn="test", days=30):
        self.leaves = getattr(self, "leaves", 0) + 1
        pem, key = super().leaf(f"leaf{self.leaves}", [], days)
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        names = [x509.UniformResourceIdentifier(u) for u in uris]
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, cn)])
        extensions = [(x509.SubjectAlternativeName(names), False)] if names else []
        cert = self._sign(name, self.subject, private.public_key(), extensions, days)
        pem.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        return {"pem": pem, "key": key}
