"""aiohttp: see clients.py for the variables."""
import asyncio
import ssl
import sys

import aiohttp

import plan


async def main():
    # One context for both, it has no second one: the proxy's CA is in it, too.
    trust = ssl.create_default_context(cafile=plan.CA)
    auth = aiohttp.BasicAuth(plan.USER, plan.KEY) if plan.KEY else None
    fields = {"Proxy-Authorization": plan.INNER_KEY} if plan.INNER_KEY else {}
    connector = aiohttp.TCPConnector(ssl=trust, force_close=not plan.KEEP)
    async with aiohttp.ClientSession(connector=connector) as session:
        for i, (method, url, body) in enumerate(plan.requests(sys.argv)):
            async with session.request(method, url, data=body, proxy=plan.PROXY, proxy_auth=auth,
                                       headers=fields | plan.fields(body)) as r:
                plan.answer(i, r.status, r.headers.get("x-evervault-error-code"), await r.read())


asyncio.run(main())
