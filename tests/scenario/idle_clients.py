"""One process full of connections that stay open and say nothing:

    idle_clients.py PORT HOST COUNT SOURCE

They come from the loopback address SOURCE, so that many such processes do not
run out of ports.  `open` is printed when all have had their handshake.  Each
line read on standard input asks: how many has the other side closed, and how
many of a sample answer a request?  `closed=N answered=N asked=N`.  With the end
of the input the process ends, and the kernel closes them all at once."""
import resource
import select
import socket
import ssl
import sys

IP_BIND_ADDRESS_NO_PORT = 24
SAMPLE = 50


def context():
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE       # it is the server's room that is measured
    return c


def connect(tls, port, host, source):
    plain = socket.socket()
    plain.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    plain.bind((source, 0))
    plain.settimeout(60)
    plain.connect(("127.0.0.1", port))
    return tls.wrap_socket(plain, server_hostname=host)


def closed(connections):
    poll = select.poll()
    for c in connections:
        poll.register(c, select.POLLRDHUP)
    return len(poll.poll(0))


def answered(connections, host):
    n = 0
    for c in connections:
        c.sendall(b"GET /idle HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode())
        n += c.recv(65536).startswith(b"HTTP/1.1 200 ")
    return n


def main():
    port, host, count, source = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    tls = context()
    connections = [connect(tls, port, host, source) for _ in range(count)]
    print("open", flush=True)
    for _ in sys.stdin:
        sample = connections[::max(1, count // SAMPLE)]
        print(f"closed={closed(connections)} answered={answered(sample, host)} "
              f"asked={len(sample)}", flush=True)


main()
