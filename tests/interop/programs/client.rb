# Ruby Net::HTTP: see clients.py for the variables.  It speaks no TLS to a proxy.
require "net/http"
require "uri"

proxy = URI(ENV.fetch("RELAY_PROXY"))
kept = nil
ARGV.each_slice(3).with_index do |(method, url, file), i|
  to = URI(url)
  http = kept
  if http.nil?
    http = Net::HTTP.new(to.host, to.port, proxy.host, proxy.port,
                         *[ENV["RELAY_USER"], ENV["RELAY_KEY"]].compact)
    http.use_ssl = true
    http.ca_file = ENV.fetch("RELAY_CA")
    http.start
    kept = http if ENV["RELAY_KEEP"] == "yes"
  end
  body = file == "-" ? nil : File.binread(file)
  request = Net::HTTPGenericRequest.new(method, !body.nil?, true, to.request_uri)
  request["Host"] = "#{to.host}:#{to.port}"
  request["Content-Type"] = "application/json" if body
  request["Accept-Encoding"] = "identity"
  request["Proxy-Authorization"] = ENV["RELAY_INNER_KEY"] if ENV["RELAY_INNER_KEY"]
  request.body = body if body
  answer = http.request(request)
  File.binwrite(File.join(ENV.fetch("RELAY_OUT"), i.to_s), answer.body)
  puts "#{answer.code} #{answer["x-evervault-error-code"] || "-"}"
  $stdout.flush
  http.finish unless kept
end
