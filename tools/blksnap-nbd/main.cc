// SPDX-License-Identifier: LGPL-2.1-or-later
// blksnap-nbd: the stand-alone NBD server. What to serve comes as words, the
// same that the nbdkit plugin takes; where to listen as options, spelled as
// nbdkit spells them.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/settings.h"
#include "export/open.h"
#include "io/file.h"
#include "nbd/listener.h"
#include "nbd/server.h"

namespace blksnap::server {
namespace {

// Sending is most of the work, and one client keeps one thread busy.
unsigned socket_threads() {
  return std::clamp(std::thread::hardware_concurrency(), 2u, 16u);
}

struct Options {
  std::string unix_path;
  std::string port;
  std::string address;
  std::string pidfile;
  std::string tls = "off";
  nbd::TlsCredentials::X509 certificates;
  std::string psk;
  bool verbose = false;
  std::vector<std::string> words;
};

Result<Settings> settings_from(const std::vector<std::string>& words) {
  Settings settings;
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos)
      return refuse(EINVAL, "'" + word +
                                "' is no word of the form KEY=VALUE; see "
                                "blksnap-nbd --help");
    if (auto set =
            settings.set(word.substr(0, equals), word.substr(equals + 1));
        !set)
      return set.error();
  }
  if (auto fits = settings.check(); !fits) return fits.error();
  return settings;
}

Result<std::vector<nbd::ListeningSocket>> listen_as(const Options& options) {
  std::vector<nbd::ListeningSocket> sockets;
  if (!options.unix_path.empty()) {
    auto socket = nbd::listen_unix(options.unix_path);
    if (!socket) return socket.error();
    sockets.push_back(std::move(socket.value()));
  }
  // TCP is the default, and what asking for an address or a port adds to -U.
  if (sockets.empty() || !options.port.empty() || !options.address.empty()) {
    auto more = nbd::listen_tcp(options.address,
                                options.port.empty() ? "10809" : options.port);
    if (!more) return more.error();
    for (auto& socket : more.value()) sockets.push_back(std::move(socket));
  }
  return sockets;
}

// Null: no TLS.
Result<std::shared_ptr<const nbd::TlsCredentials>> tls_from(
    const Options& options) {
  const auto& x509 = options.certificates;
  const bool given = !x509.directory.empty() || !options.psk.empty() ||
                     x509.verify_peer || !x509.allowed_names.empty();
  if (options.tls == "off") {
    if (given)
      return refuse(EINVAL,
                    "--tls-... says how, but TLS is off; did you mean "
                    "--tls=require?");
    return std::shared_ptr<const nbd::TlsCredentials>();
  }
  if (options.tls != "require")
    return refuse(EINVAL, "--tls=" + options.tls +
                              ": only \"off\" and \"require\"; a server that "
                              "lets clients choose protects none of them");
  if (x509.directory.empty() == options.psk.empty())
    return refuse(EINVAL,
                  "--tls=require needs either --tls-certificates=DIRECTORY or "
                  "--tls-psk=FILE");
  if (!options.psk.empty()) {
    if (x509.verify_peer || !x509.allowed_names.empty())
      return refuse(EINVAL, "--tls-psk: there are no certificates to verify");
    return nbd::TlsCredentials::from_psk_file(options.psk);
  }
  return nbd::TlsCredentials::from(x509);
}

// Removes the pidfile at exit.
class Pidfile {
 public:
  Pidfile() = default;
  Pidfile(const Pidfile&) = delete;
  Pidfile& operator=(const Pidfile&) = delete;
  ~Pidfile() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  Result<void> write(const std::string& path) {
    const std::string text = std::to_string(::getpid()) + "\n";
    if (auto done = io::replace_file(path, std::as_bytes(std::span(text)));
        !done)
      return done;
    path_ = path;
    return {};
  }

 private:
  std::string path_;
};

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
  return set;
}

Result<void> serve(const Options& options) {
  auto tls = tls_from(options);
  if (!tls) return tls.error();
  const auto settings = settings_from(options.words);
  if (!settings) return settings.error();

  // Before any thread is made, and before a snapshot is taken: from now on
  // these wait until the main thread asks, so that none can end the process
  // with a snapshot left behind.
  const sigset_t signals = stop_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  // Sockets first: whatever is wrong with them shows before file systems are
  // frozen for a snapshot. Clients that connect early wait.
  auto sockets = listen_as(options);
  if (!sockets) return sockets.error();
  auto opened = exports::open_catalogue(*settings);
  if (!opened) return opened.error();
  const std::shared_ptr<const exports::Catalogue> catalogue =
      std::move(opened.value());

  const bool encrypted = *tls != nullptr;
  nbd::Server server(
      catalogue, {.tls = std::move(tls.value()), .threads = socket_threads()});
  std::vector<std::string> uris;
  for (auto& socket : *sockets) {
    uris.push_back(socket.uri());
    if (encrypted) uris.back().insert(std::strlen("nbd"), "s");
    server.add_listener(std::move(socket));
  }
  server.start();

  Pidfile pidfile;
  if (!options.pidfile.empty()) {
    if (auto written = pidfile.write(options.pidfile); !written) return written;
  }
  for (const std::string& uri : uris) logger().info("listening on {}", uri);
  int signal = 0;
  ::sigwait(&signals, &signal);
  logger().info("stopping: {}", ::strsignal(signal));
  server.stop();
  return {};
}

int fail_with(const Error& error) {
  std::fprintf(stderr, "blksnap-nbd: %s\n", error.message.c_str());
  return 1;
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app(
      "NBD server for snapshots of block devices, with their changed blocks "
      "as\n"
      "dirty bitmaps.",
      "blksnap-nbd");
  app.set_version_flag("--version", "blksnap-nbd " BLKSNAP_VERSION);
  app.add_option("-U,--unix", options.unix_path, "listen on this Unix socket")
      ->type_name("SOCKET");
  app.add_option("-p,--port", options.port,
                 "listen on this TCP port [10809, unless there is -U]")
      ->type_name("PORT");
  app.add_option("-i,--ipaddr", options.address,
                 "listen on this address alone [all]")
      ->type_name("ADDRESS");
  app.add_option("-P,--pidfile", options.pidfile,
                 "write the process id here once clients can connect")
      ->type_name("FILE");
  app.add_option("--tls", options.tls, "\"off\" or \"require\" [off]")
      ->type_name("MODE");
  app.add_option("--tls-certificates", options.certificates.directory,
                 "directory of server-cert.pem, server-key.pem, ca-cert.pem, "
                 "ca-crl.pem")
      ->type_name("DIRECTORY");
  app.add_flag("--tls-verify-peer", options.certificates.verify_peer,
               "let in only clients with a certificate of ca-cert.pem's");
  app.add_option("--tls-allow", options.certificates.allowed_names,
                 "and only with this distinguished name, as \"openssl x509 "
                 "-subject\n-nameopt RFC2253\" prints it; may be repeated")
      ->allow_extra_args(false)
      ->type_name("NAME");
  app.add_option("--tls-psk", options.psk,
                 "pre-shared keys, lines of USER:HEX as psktool makes them")
      ->type_name("FILE");
  bool always = true;
  app.add_flag("-f,--foreground", always, "accepted; it never forks");
  app.add_flag("-v,--verbose", options.verbose, "log more");
  app.add_option("WORD", options.words, "what to serve: KEY=VALUE, see below");
  app.footer(std::string("Words:\n") + kSettingsHelp +
             "\nIt runs until SIGINT or SIGTERM, which release a snapshot that "
             "device= took.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and --version come as errors too, with exit code 0.
    if (error.get_exit_code() == 0) return app.exit(error);
    return fail_with(refuse(EINVAL, error.what()));
  }
  if (options.verbose) {
    if (auto level = set_log_level("debug"); !level)
      return fail_with(level.error());
  }
  const auto served = serve(options);
  return served ? 0 : fail_with(served.error());
}

}  // namespace
}  // namespace blksnap::server

int main(int argc, char** argv) {
  try {
    return blksnap::server::run(argc, argv);
  } catch (const std::exception& error) {  // out of memory, and bugs
    return blksnap::server::fail_with({EINVAL, error.what()});
  }
}
