// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "export/catalogue.h"
#include "nbd/allow_list.h"
#include "nbd/counters.h"
#include "nbd/listener.h"
#include "nbd/tls.h"

namespace blksnap::nbd {

struct ServerOptions {
  // Further connections wait, without a greeting, until one ends.
  std::size_t max_connections = 100;
  // From greeting to transmission; then the connection is closed.
  std::chrono::milliseconds handshake_timeout{10'000};
  // Of one connection: requests read and not answered, and the bytes of their
  // data. A single request may always go ahead.
  std::size_t requests_in_flight = 128;
  std::size_t bytes_in_flight = std::size_t{64} << 20;
  // If there are any, nothing is served without TLS.
  std::shared_ptr<const TlsCredentials> tls;
  // Threads that talk to clients; a connection belongs to one of them. 0: as
  // many as there are processors, within reason.
  unsigned threads = 0;
  // Threads that call exports. Shared by all connections: as many calls may
  // block at the same time before the next one waits.
  std::size_t workers = 32;
  // How long stop() waits for clients to take the replies they are owed.
  std::chrono::milliseconds stop_timeout{5'000};
  // Peers that it does not admit are closed before the greeting.
  AllowList allow;
};

// The NBD server of a process: listeners, sessions, threads. Has no globals
// and touches no signals (its threads alone have SIGPIPE blocked), so that it
// can live in a process of others, nbdkit's for example; several may exist.
//
// Threads do not survive fork(): construct it in the process that is to
// serve. (A ListeningSocket may be made before.)
class Server {
 public:
  // Shares the catalogue until destruction.
  Server(std::shared_ptr<const exports::Catalogue> catalogue,
         ServerOptions options = {});
  ~Server();  // as stop()
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Before start(): accept connections here. The server owns the socket.
  void add_listener(ListeningSocket listener);

  // Serves a connected stream socket that someone else accepted. `peer` names
  // it in log lines. EINVAL where it is no socket, EACCES where the allow list
  // does not admit it. Any thread, any time before stop(); served once start()
  // was called. `ended` is called once it is closed, on a thread of the server.
  Result<void> serve(UniqueFd connected, std::string peer,
                     std::function<void()> ended = {});

  // Starts the threads. Once.
  void start();

  // Closes the listeners and, after the requests in flight are answered, the
  // connections; those whose client does not take its replies within
  // stop_timeout are cut off. Then waits for calls into exports to return,
  // however long that takes: the caller is about to destroy what they use.
  // Idempotent; not from a thread of the server.
  void stop();

  // Of all connections up to now. Any thread, any time.
  Counters::Totals totals() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace blksnap::nbd
