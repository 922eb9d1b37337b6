// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repository/catalogue.h"

#include <cerrno>

#include "base/json.h"
#include "repository/seal.h"

namespace blksnap::repo {
namespace {

Result<std::map<PointName, std::string>> to_points(const Json& object) {
  std::map<PointName, std::string> points;
  try {
    for (const auto& [text, id] : object.at("points").items()) {
      const auto name = PointName::parse(text);
      if (!name) return refuse(EINVAL, "'" + text + "' is no point's name");
      points.emplace(*name, id.get<std::string>());
    }
  } catch (const Json::exception& error) {
    return refuse(EINVAL, reason_of(error));
  }
  return points;
}

}  // namespace

std::string to_json(const Catalogue& catalogue) {
  Json points = Json::object();
  for (const auto& [name, id] : catalogue.points) points[name.text()] = id;
  return sealed({{"format", kFormat}, {"points", std::move(points)}});
}

Result<Catalogue> parse_catalogue(std::string_view text) {
  const auto object = parse_json(text);
  if (!object)
    return refuse(EINVAL,
                  "not the file of a repository: " + object.error().message);
  Catalogue catalogue;
  const auto format = object->find("format");  // end() of what is no object
  const bool first = format != object->end() && *format == kFirstFormat;
  if (first && !object->contains("digest")) {
    catalogue.format = kFirstFormat;
    return catalogue;
  }
  if (!first && (format == object->end() || *format != kFormat))
    return refuse(EINVAL,
                  "a repository of a format that is not known to this version");
  if (auto good = check_seal(text); !good) {
    catalogue.damage = good.error();
    return catalogue;
  }
  auto points = to_points(*object);
  if (points)
    catalogue.points = std::move(*points);
  else
    catalogue.damage = points.error();
  return catalogue;
}

}  // namespace blksnap::repo
