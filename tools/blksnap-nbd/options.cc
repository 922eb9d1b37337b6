// SPDX-License-Identifier: LGPL-2.1-or-later
#include "options.h"

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <limits>

#include "cli/app.h"

namespace blksnap::server {
namespace {

// As they were typed, where a type of the parser does not say it all. What is
// given and empty, as by a script whose variable is not set, is not taken for
// what is not given: it may have been meant to keep someone out.
struct Raw {
  std::optional<std::string> unix_mode;
  std::optional<std::string> unix_owner;
  std::vector<std::string> allow;
  std::vector<std::string> allow_uid;
  std::vector<std::string> allow_cid;
  std::optional<std::string> user;
  std::optional<std::string> group;
  std::string tls = "off";
  bool single = false;
  bool verbose = false;
  bool dump_config = false;
  unsigned handshake_seconds = 0;
  std::optional<std::string> max_bytes;
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

Result<mode_t> mode_from(const std::string& text) {
  unsigned mode = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, mode, 8);
  if (error != std::errc{} || rest != end || mode > 0777)
    return refuse(EINVAL, "'" + text + "' is no mode: want 0660 or the like");
  return static_cast<mode_t>(mode);
}

// "USER", "USER:GROUP" or ":GROUP", as chown(1) has it.
Result<void> set_owner(nbd::SocketAccess& access, const std::string& text) {
  const std::size_t colon = text.find(':');
  if (const std::string user = text.substr(0, colon); colon != 0) {
    const auto found = find_user(user);
    if (!found) return found.error();
    access.owner = found->uid;
  }
  if (colon == std::string::npos) return {};
  const auto group = find_group(text.substr(colon + 1));
  if (!group) return group.error();
  access.group = *group;
  return {};
}

Result<void> set_access(Options& options, const Raw& raw) {
  if (raw.unix_mode) {
    const auto mode = mode_from(*raw.unix_mode);
    if (!mode) return context("--unix-mode", mode.error());
    options.unix_access.mode = *mode;
  }
  if (raw.unix_owner) {
    if (auto set = set_owner(options.unix_access, *raw.unix_owner); !set)
      return context("--unix-owner", set.error());
  }
  nbd::AllowList& allow = options.limits.allow;
  for (const std::string& network : raw.allow) {
    if (auto added = allow.add_network(network); !added)
      return context("--allow", added.error());
  }
  for (const std::string& user : raw.allow_uid) {
    const auto found = find_user(user);
    if (!found) return context("--allow-uid", found.error());
    allow.add_uid(found->uid);
  }
  for (const std::string& text : raw.allow_cid) {
    std::uint32_t cid = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, cid);
    if (error != std::errc{} || rest != end)
      return refuse(EINVAL,
                    "--allow-cid: '" + text + "' is no number of 32 bits");
    allow.add_cid(cid);
  }

  if (raw.tls != "off" && raw.tls != "require")
    return refuse(EINVAL, "--tls=" + raw.tls +
                              ": only \"off\" and \"require\"; a server that "
                              "lets clients choose protects none of them");
  options.tls.required = raw.tls == "require";
  if (auto fits = options.tls.check(); !fits) return fits.error();

  auto identity = find_identity(raw.user, raw.group);
  if (!identity) return identity.error();
  options.identity = *identity;
  return {};
}

Result<void> set_limits(nbd::ServerOptions& limits, const Raw& raw) {
  limits.handshake_timeout = std::chrono::seconds(raw.handshake_seconds);
  if (!raw.max_bytes) return {};
  const auto bytes = parse_size(*raw.max_bytes);
  if (!bytes) return context("--max-bytes", bytes.error());
  if (*bytes == 0 || *bytes > std::numeric_limits<std::size_t>::max() / 2)
    return refuse(EINVAL, "--max-bytes: " + *raw.max_bytes + " is no limit");
  limits.bytes_in_flight = *bytes;
  return {};
}

// Do the options make sense together?
Result<void> check(const Options& options) {
  if (options.connected_fd &&
      (options.asks_for_listener() || !options.command.empty()))
    return refuse(EINVAL,
                  "--fd and --single serve one connection that is there "
                  "already: they exclude -U, -p, -i, --vsock and --run");
  if (options.vsock && !options.address.empty())
    return refuse(EINVAL, "-i is an address of TCP, and --vsock has the port");
  if ((options.unix_access.mode || options.unix_access.owner ||
       options.unix_access.group) &&
      options.unix_path.empty())
    return refuse(EINVAL, "--unix-mode and --unix-owner need -U");
  return {};
}

void add_listeners(cli::App app, Options& options, Raw& raw) {
  app.add_option("-U,--unix", options.unix_path,
                 "listen on this Unix socket; - makes a private one")
      .type_name("SOCKET");
  app.add_option("--unix-mode", raw.unix_mode,
                 "mode of the Unix socket [what the umask leaves]")
      .type_name("MODE");
  app.add_option("--unix-owner", raw.unix_owner, "owner of the Unix socket")
      .type_name("USER[:GROUP]");
  app.add_option("-p,--port", options.port,
                 "listen on this TCP port [10809, unless there is -U]")
      .type_name("PORT");
  app.add_option("-i,--ipaddr", options.address,
                 "listen on this address alone [all]")
      .type_name("ADDRESS");
  app.add_flag("--vsock", options.vsock,
               "listen on AF_VSOCK instead of TCP, on the port of -p");
  app.add_option("--fd", options.connected_fd,
                 "serve the connected socket that is this descriptor, and end "
                 "with it")
      .type_name("N")
      .check_range(0, 1 << 20, cli::InHelp::kHide);
  app.add_flag("-s,--single", raw.single, "the same as --fd=0");
}

void add_access(cli::App app, Options& options, Raw& raw) {
  app.add_option("--allow", raw.allow,
                 "TCP clients that may connect: addresses, networks [all]")
      .type_name("CIDR[,...]")
      .delimiter(',')
      .allow_extra_args(false);
  app.add_option("--allow-uid", raw.allow_uid,
                 "users that may connect to Unix sockets [all]")
      .type_name("USER[,...]")
      .delimiter(',')
      .allow_extra_args(false);
  app.add_option("--allow-cid", raw.allow_cid,
                 "machines that may connect over vsock [all]")
      .type_name("CID[,...]")
      .delimiter(',')
      .allow_extra_args(false);
  app.add_option("--tls", raw.tls, "\"off\" or \"require\" [off]")
      .type_name("MODE");
  TlsOptions& tls = options.tls;
  app.add_option("--tls-certificates", tls.certificates.directory,
                 "directory of server-cert.pem, server-key.pem, ca-cert.pem,\n"
                 "ca-crl.pem")
      .type_name("DIRECTORY");
  app.add_option("--tls-psk", tls.psk_file,
                 "pre-shared keys, lines of USER:HEX as psktool(1) makes them")
      .type_name("FILE");
  app.add_flag("--tls-verify-peer", tls.certificates.verify_peer,
               "let in only clients with a certificate of ca-cert.pem's");
  app.add_option("--tls-allow", tls.certificates.allowed_names,
                 "and only with this distinguished name, as RFC 4514 has it;\n"
                 "may be repeated")
      .type_name("NAME")
      .allow_extra_args(false);
  app.add_option("-u,--user", raw.user, "serve as this user, once all is open")
      .type_name("USER");
  app.add_option("-g,--group", raw.group,
                 "serve as this group, once all is open [the user's]")
      .type_name("GROUP");
}

void add_limits(cli::App app, nbd::ServerOptions& limits, Raw& raw) {
  raw.handshake_seconds = static_cast<unsigned>(
      std::chrono::duration_cast<std::chrono::seconds>(limits.handshake_timeout)
          .count());
  app.add_option("--max-connections", limits.max_connections,
                 "connections; more wait, without a greeting [100]")
      .type_name("N")
      .check_range(1, 1 << 20, cli::InHelp::kHide);
  app.add_option("--handshake-timeout", raw.handshake_seconds,
                 "seconds that a handshake may take [10]")
      .type_name("SECONDS")
      .check_range(1, 24 * 3600, cli::InHelp::kHide);
  app.add_option("--max-requests", limits.requests_in_flight,
                 "requests of a connection at a time [128]")
      .type_name("N")
      .check_range(1, 1 << 16, cli::InHelp::kHide);
  app.add_option("--max-bytes", raw.max_bytes,
                 "bytes of those requests, at a time [64M]")
      .type_name("SIZE");
  app.add_option("-t,--threads,--workers", limits.workers,
                 "threads that read devices, for all connections [32]")
      .type_name("N")
      .check_range(1, 1 << 12, cli::InHelp::kHide);
}

void add_logging(cli::App app, Options& options, Raw& raw) {
  cli::Option level =
      app.add_option("--log-level", options.log_level,
                     "debug, info, warning, error or off [info]")
          .type_name("LEVEL");
  app.add_flag("-v,--verbose", raw.verbose, "the same as --log-level=debug")
      .excludes(level)
      .configurable(false);
  app.add_option("--log-format", options.log_format,
                 "text, or json: an object a line [text]")
      .type_name("FORMAT");
  app.add_option("--metrics", options.metrics,
                 "serve counters for Prometheus on unix:PATH or ADDRESS:PORT")
      .type_name("WHERE");
  app.add_flag("--dump-config", raw.dump_config,
               "print what is set, as --config reads it, and end")
      .configurable(false);
}

void add_process(cli::CommandLine& line, Options& options, bool& foreground) {
  cli::App app = line.app();
  app.add_option("--run", options.command,
                 "serve while this shell command runs, on a private Unix "
                 "socket\nunless told otherwise; end with its exit status")
      .type_name("COMMAND");
  app.add_option("-e,--exportname", options.export_name,
                 "export that $uri names for --run [the default one]")
      .type_name("NAME");
  app.add_option("-P,--pidfile", options.pidfile,
                 "write the process id here once clients can connect")
      .type_name("FILE");
  app.add_flag("-f,--foreground", foreground, "accepted; it never forks")
      .configurable(false);
  line.set_config("--config", "read options and words from this file")
      .type_name("FILE");
}

}  // namespace

Result<Parsed> parse_options(int argc, char** argv) {
  Parsed parsed;
  Options& options = parsed.options;
  Raw raw;
  cli::CommandLine line(
      "NBD server for snapshots of block devices, with their changed blocks "
      "as\n"
      "dirty bitmaps.",
      "blksnap-nbd", "blksnap-nbd " BLKSNAP_VERSION);
  cli::App app = line.app();
  bool always = true;
  add_listeners(app, options, raw);
  add_access(app, options, raw);
  add_limits(app, options.limits, raw);
  add_process(line, options, always);
  add_logging(app, options, raw);
  app.add_option("WORD", raw.words, "what to serve: KEY=VALUE, see below");
  app.footer(std::string("Words:\n") + kSettingsHelp +
             "\nIt runs until SIGINT or SIGTERM, which release a snapshot that "
             "device= took.");
  const auto done = line.parse(argc, argv);
  if (!done) return done.error();
  if (*done) {
    parsed.exit_status = *done;
    return parsed;
  }
  if (raw.single) {
    if (options.connected_fd)
      return refuse(EINVAL, "--fd and --single exclude each other");
    options.connected_fd = 0;
  }
  if (auto set = set_access(options, raw); !set) return set.error();
  if (auto set = set_limits(options.limits, raw); !set) return set.error();
  if (raw.verbose) options.log_level = "debug";
  if (auto fits = check(options); !fits) return fits.error();
  auto settings = settings_from(raw.words);
  if (!settings) return settings.error();
  options.settings = std::move(*settings);
  if (raw.dump_config) {
    std::fputs(line.config_to_str().c_str(), stdout);
    parsed.exit_status = 0;
  }
  return parsed;
}

}  // namespace blksnap::server
