// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "nbd/tls.h"

namespace blksnap::server {

// --tls and what belongs to it.
struct TlsOptions {
  bool required = false;
  nbd::TlsCredentials::X509 certificates;
  std::string psk_file;

  // Do they make sense together? Touches no file.
  Result<void> check() const;
};

// Null where TLS is off.
Result<std::shared_ptr<const nbd::TlsCredentials>> load_credentials(
    const TlsOptions& options);

}  // namespace blksnap::server
