"""httpx: see clients.py for the variables."""
import ssl
import sys

import httpx

import plan

proxy = httpx.Proxy(plan.PROXY, auth=(plan.USER, plan.KEY) if plan.KEY else None)
fields = {"Proxy-Authorization": plan.INNER_KEY} if plan.INNER_KEY else {}
if not plan.KEEP:
    fields["Connection"] = "close"
with httpx.Client(proxies=proxy, verify=ssl.create_default_context(cafile=plan.CA), headers=fields,
                  trust_env=False, timeout=60) as client:
    for i, (method, url, body) in enumerate(plan.requests(sys.argv)):
        r = client.request(method, url, content=body, headers=plan.fields(body))
        plan.answer(i, r.status_code, r.headers.get("x-evervault-error-code"), r.content)
