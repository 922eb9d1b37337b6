// SPDX-License-Identifier: LGPL-2.1-or-later
// UUIDs as the module's interface has them; for this folder alone.
#pragma once

#include <algorithm>
#include <boost/uuid/uuid.hpp>
#include <iterator>

#include "uapi/blksnap.h"

namespace blksnap::kernel {

inline blksnap_uuid to_kernel(const boost::uuids::uuid& id) {
  blksnap_uuid raw;
  std::copy(id.begin(), id.end(), raw.b);
  return raw;
}

inline boost::uuids::uuid from_kernel(const blksnap_uuid& raw) {
  boost::uuids::uuid id;
  std::copy(std::begin(raw.b), std::end(raw.b), id.begin());
  return id;
}

}  // namespace blksnap::kernel
