-- wrk: POST the file of BENCH_BODY, or GET when it is empty; the figures as one
-- line of JSON.
local name = os.getenv("BENCH_BODY")
if name ~= "" then
	wrk.method = "POST"
	wrk.body = assert(io.open(name)):read("*a")
	wrk.headers["Content-Type"] = "application/json"
end

function done(summary, latency)
	local e = summary.errors
	io.write(string.format(
	    '\n{"requests":%d,"seconds":%.3f,"p50_ms":%.3f,"p99_ms":%.3f,"errors":%d}\n',
	    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
	    latency:percentile(99) / 1e3,
	    e.connect + e.read + e.write + e.status + e.timeout))
end
