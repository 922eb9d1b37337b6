// SPDX-License-Identifier: LGPL-2.1-or-later
#include "metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace blksnap::server {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// By type of request, as Counts has them.
constexpr const char* kCommands[] = {"read",         "write",        "disc",
                                     "flush",        "trim",         "cache",
                                     "write_zeroes", "block_status", "unknown"};
static_assert(std::size(kCommands) == nbd::Counts::kKinds);

struct Family : MetricFamily {
  Family(MetricType kind, const char* suffix, const char* text) {
    name = std::string("blksnap_nbd_") + suffix;
    help = text;
    type = kind;
  }
  void add(std::uint64_t value, std::vector<ClientMetric::Label> labels = {}) {
    ClientMetric one;
    one.label = std::move(labels);
    if (type == MetricType::Counter) {
      one.counter.value = static_cast<double>(value);
    } else {
      one.gauge.value = static_cast<double>(value);
    }
    metric.push_back(std::move(one));
  }
};

}  // namespace

std::string metrics_text(const nbd::Counters::Totals& totals) {
  constexpr auto kCounter = MetricType::Counter;
  constexpr auto kGauge = MetricType::Gauge;
  Family version(kGauge, "build_info", "Which release this is; always 1.");
  Family accepted(kCounter, "connections_accepted_total",
                  "Connections that were served or tried to be.");
  Family refused(kCounter, "connections_refused_total",
                 "Connections that the allow list kept out.");
  Family failed(kCounter, "handshakes_failed_total",
                "Connections that the server ended before an export was "
                "agreed on.");
  Family connections(kGauge, "connections",
                     "Connections that are there, by export.");
  Family requests(kCounter, "requests_total",
                  "Requests by export and command.");
  Family errors(kCounter, "request_errors_total",
                "Requests that were answered with an error.");
  Family received(kCounter, "received_bytes_total",
                  "Bytes from clients, without those of TLS itself.");
  Family sent(kCounter, "sent_bytes_total",
              "Bytes to clients, without those of TLS itself.");

  version.add(1, {{"version", BLKSNAP_VERSION}});
  accepted.add(totals.accepted);
  refused.add(totals.refused);
  failed.add(totals.failed_handshakes);
  for (const auto& [name, served] : totals.exports) {
    const ClientMetric::Label label{"export", name};
    connections.add(served.connections, {label});
    for (std::size_t i = 0; i < nbd::Counts::kKinds; ++i)
      requests.add(served.counts.requests[i],
                   {label, {"command", kCommands[i]}});
    errors.add(served.counts.errors, {label});
    received.add(served.counts.bytes_received, {label});
    sent.add(served.counts.bytes_sent, {label});
  }
  return prometheus::TextSerializer().Serialize({version, accepted, refused,
                                                 failed, connections, requests,
                                                 errors, received, sent});
}

}  // namespace blksnap::server
