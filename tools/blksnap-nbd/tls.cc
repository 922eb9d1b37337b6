// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tls.h"

#include <cerrno>

namespace blksnap::server {

Result<void> TlsOptions::check() const {
  const bool peers =
      certificates.verify_peer || !certificates.allowed_names.empty();
  if (!required) {
    if (certificates.directory.empty() && psk_file.empty() && !peers) return {};
    return refuse(EINVAL,
                  "--tls-... says how, but TLS is off; did you mean "
                  "--tls=require?");
  }
  if (certificates.directory.empty() == psk_file.empty())
    return refuse(EINVAL,
                  "--tls=require needs either --tls-certificates=DIRECTORY or "
                  "--tls-psk=FILE");
  if (!psk_file.empty() && peers)
    return refuse(EINVAL, "--tls-psk: there are no certificates to verify");
  return {};
}

Result<std::shared_ptr<const nbd::TlsCredentials>> load_credentials(
    const TlsOptions& options) {
  if (!options.required) return std::shared_ptr<const nbd::TlsCredentials>();
  return options.psk_file.empty()
             ? nbd::TlsCredentials::from(options.certificates)
             : nbd::TlsCredentials::from_psk_file(options.psk_file);
}

}  // namespace blksnap::server
