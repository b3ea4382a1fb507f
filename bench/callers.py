"""Link certificates of callers that an installation does not have: each client
of a load as a worker of its own, as engines share their time by caller."""
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import bench


def _issue(ca, ca_key, name):
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    uri = x509.UniformResourceIdentifier(f"relay://link/worker/{name}")
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    cert = (x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "worker")]))
            .issuer_name(ca.subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(usage, True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key()),
                           False)
            .add_extension(x509.SubjectAlternativeName([uri]), False)
            .sign(ca_key, hashes.SHA256()))
    return cert, key


def make(names):
    """The folder for e3load --callers: NAME.pem and NAME.key of each."""
    folder = bench.STATE / "callers"
    folder.mkdir(exist_ok=True)
    link = bench.STATE / "link"
    ca = x509.load_pem_x509_certificate((link / "ca.pem").read_bytes())
    ca_key = serialization.load_pem_private_key((link / "ca.key").read_bytes(), None)
    for name in names:
        cert, key = _issue(ca, ca_key, name)
        (folder / f"{name}.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))
    return folder
