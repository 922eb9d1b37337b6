// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "export/catalogue.h"
#include "export/device_export.h"

namespace blksnap::exports {

// Devices by the names of their exports, and their views. Immutable.
class DeviceCatalogue : public Catalogue {
 public:
  // EINVAL with a sentence if two devices have one name. `foundation`, which
  // may be empty, is what the devices stand on (a held snapshot): it is
  // destroyed after them.
  static Result<std::unique_ptr<Catalogue>> make(
      std::vector<Device> devices, std::shared_ptr<void> foundation = nullptr);

  // NAME, NAME@PREVIOUS and NAME@PREVIOUS+changed of each device.
  std::vector<Entry> list() const override;
  Result<std::shared_ptr<Export>> find(std::string_view name) const override;

 private:
  DeviceCatalogue(std::vector<std::shared_ptr<const Device>> devices,
                  std::shared_ptr<void> foundation)
      : foundation_(std::move(foundation)), devices_(std::move(devices)) {}

  std::shared_ptr<const Device> device(std::string_view name) const;
  Error unknown(std::string_view name) const;

  // Destroyed in the reverse of this order.
  const std::shared_ptr<void> foundation_;
  const std::vector<std::shared_ptr<const Device>> devices_;
};

}  // namespace blksnap::exports
