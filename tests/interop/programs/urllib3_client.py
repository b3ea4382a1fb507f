"""urllib3: see clients.py for the variables."""
import ssl
import sys

import urllib3

import plan

own = urllib3.make_headers(proxy_basic_auth=f"{plan.USER}:{plan.KEY}") if plan.KEY else {}
pool = urllib3.ProxyManager(plan.PROXY, proxy_headers=own, ca_certs=plan.CA,
                            proxy_ssl_context=ssl.create_default_context(cafile=plan.PROXY_CA))
fields = {"Proxy-Authorization": plan.INNER_KEY} if plan.INNER_KEY else {}
if not plan.KEEP:
    fields["Connection"] = "close"
for i, (method, url, body) in enumerate(plan.requests(sys.argv)):
    r = pool.request(method, url, body=body, headers=fields | plan.fields(body), retries=False,
                     timeout=60.0)
    plan.answer(i, r.status, r.headers.get("x-evervault-error-code"), r.data)
