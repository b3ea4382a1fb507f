"""requests: see clients.py for the variables."""
import sys

import requests

import plan

session = requests.Session()
session.trust_env = False
session.proxies = {"https": plan.proxy_with_user()}
session.verify = plan.CA
if plan.INNER_KEY:
    session.headers["Proxy-Authorization"] = plan.INNER_KEY
if not plan.KEEP:
    session.headers["Connection"] = "close"
for i, (method, url, body) in enumerate(plan.requests(sys.argv)):
    r = session.request(method, url, data=body, headers=plan.fields(body), timeout=60)
    plan.answer(i, r.status_code, r.headers.get("x-evervault-error-code"), r.content)
