// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "export/catalogue.h"
#include "export/device_export.h"
#include "export/given_names.h"

namespace blksnap::exports {

// Devices by the names of their exports, and their views.
class DeviceCatalogue : public Catalogue {
 public:
  // EINVAL with a sentence if two devices have one name. `names_file` has names
  // of checkpoints and is read anew by each call, where a device has a map;
  // none if it is empty. `foundation`, which may be empty, is what the devices
  // stand on (a held snapshot): it is destroyed after them.
  static Result<std::unique_ptr<Catalogue>> make(
      std::vector<Device> devices, std::string names_file = {},
      std::shared_ptr<void> foundation = nullptr);

  // NAME, NAME@PREVIOUS and NAME@PREVIOUS+changed of each device; and the same
  // as the latter two for each name of a checkpoint that its map answers.
  std::vector<Entry> list() const override;
  Result<std::shared_ptr<Export>> find(std::string_view name) const override;

 private:
  DeviceCatalogue(std::vector<std::shared_ptr<const Device>> devices,
                  std::string names_file, std::shared_ptr<void> foundation)
      : foundation_(std::move(foundation)),
        devices_(std::move(devices)),
        given_(std::move(names_file)) {}

  std::shared_ptr<const Device> device(std::string_view name) const;
  std::shared_ptr<Export> find_device(
      std::shared_ptr<const Device> device) const;
  Result<std::shared_ptr<Export>> find_view(
      std::shared_ptr<const Device> device, std::string_view suffix) const;
  Error unknown(std::string_view name) const;

  // Destroyed in the reverse of this order.
  const std::shared_ptr<void> foundation_;
  const std::vector<std::shared_ptr<const Device>> devices_;
  const GivenNames given_;
};

}  // namespace blksnap::exports
