// SPDX-License-Identifier: LGPL-2.1-or-later
#include "qemu/image.h"

#include <cerrno>

#include "base/json.h"
#include "qemu/private_socket.h"

namespace blksnap::qemu {
namespace {

constexpr char kFormat[] = "qcow2";
// How long a server that hung up may take to end.
constexpr std::chrono::milliseconds kDying{2000};
// Exit status of qemu-img check.
constexpr int kCorrupt = 2;
constexpr int kLeaks = 3;

Result<std::string> qemu_img(std::vector<std::string> words) {
  words.insert(words.begin(), "qemu-img");
  return run_program(words);
}

}  // namespace

std::string in_option(const std::string& text) {
  std::string doubled;
  for (const char c : text) doubled.append(c == ',' ? 2 : 1, c);
  return doubled;
}

Result<void> create_image(const std::string& path, std::uint64_t size,
                          const std::string& backing) {
  std::vector<std::string> words = {"create", "-q", "-f",
                                    kFormat,  "-o", "cluster_size=64K"};
  if (!backing.empty())
    words.insert(words.end(), {"-b", backing, "-F", kFormat});
  words.insert(words.end(), {path, std::to_string(size)});
  auto done = qemu_img(std::move(words));
  return done ? Result<void>() : context("make " + path, done.error());
}

Result<std::vector<ImageLayer>> image_layers(const std::string& path) {
  const auto said =
      qemu_img({"map", "-U", "--output=json", "-f", kFormat, path});
  if (!said) return said.error();
  const auto parts = parse_json(*said);
  if (!parts)
    return refuse(EPROTO,
                  "qemu-img map " + path + ": " + parts.error().message);
  try {
    std::vector<ImageLayer> layers;
    for (const Json& part : *parts)
      layers.push_back(
          {{part.at("start").get<std::uint64_t>(),
            part.at("length").get<std::uint64_t>()},
           part.at("depth").get<unsigned>(),
           part.at("data").get<bool>(),
           // What is compressed has none, or says so.
           part.contains("offset") && !part.value("compressed", false)});
    return layers;
  } catch (const Json::exception& error) {
    return refuse(EPROTO, "qemu-img map " + path + ": " + reason_of(error));
  }
}

std::uint64_t growth_by_commit(const std::vector<ImageLayer>& upper,
                               const std::vector<ImageLayer>& lower) {
  std::uint64_t growth = 0;
  auto below = lower.begin();
  for (const ImageLayer& part : upper) {
    if (part.depth != 0 || !part.data) continue;
    growth += part.range.length;
    // Both are in order, so that what ends before this part is done with.
    while (below != lower.end() && below->range.end() <= part.range.offset)
      ++below;
    for (auto at = below;
         at != lower.end() && at->range.offset < part.range.end(); ++at)
      if (at->depth == 0 && at->data && at->in_place)
        growth -= intersect(at->range, part.range).length;
  }
  return growth;
}

Result<void> check_image(const std::string& path) {
  auto child = ChildProcess::start(
      {"qemu-img", "check", "-U", "-q", "-f", kFormat, path}, {});
  if (!child) return child.error();
  const auto status = child->wait();
  if (!status) return status.error();
  if (*status == 0) return {};
  std::string found = "cannot be checked";
  if (*status == kCorrupt) found = "is corrupt";
  if (*status == kLeaks) found = "has clusters that nothing refers to";
  return refuse(EIO, "qemu-img check: the image " + found + child->complaint());
}

Result<void> mend_image(const std::string& path) {
  auto done = qemu_img({"check", "-q", "-r", "leaks", "-f", kFormat, path});
  return done ? Result<void>() : context("mend " + path, done.error());
}

Result<void> commit_image(const std::string& path, int held) {
  // -d: what it has itself need not go from it.
  auto child = ChildProcess::start(
      {"qemu-img", "commit", "-q", "-d", "-f", kFormat, path}, {.held = held});
  if (!child) return child.error();
  auto done = child->succeed();
  return done ? done : context("commit " + path, done.error());
}

Result<ImageServer> ImageServer::start(const std::string& path,
                                       const Options& options) {
  auto socket = PrivateSocket::listen();
  if (!socket) return socket.error();
  // Without --persistent it ends when its one client has gone.
  std::vector<std::string> words = {"qemu-nbd", "--discard=unmap"};
  // An image that is not finished is worth nothing: it need not be sound at
  // every moment, which takes QEMU many flushes, but once it is synced.
  words.push_back(options.writable ? "--cache=unsafe" : "--read-only");
  if (options.compress)
    words.insert(words.end(),
                 {"--image-opts",
                  "driver=compress,file.driver=qcow2,file.file.driver=file,"
                  "file.discard=unmap,file.file.filename=" +
                      in_option(path)});
  else
    words.insert(words.end(), {"--format=qcow2", path});
  auto child = ChildProcess::start(
      words, {.listening = socket->listening(), .held = options.held});
  if (!child) return child.error();
  auto connected = socket->connect();
  if (!connected) return connected.error();
  return ImageServer(std::move(*child), {path, std::move(*connected)});
}

Result<void> ImageServer::finish() {
  return child_.succeed();
}

Error ImageServer::explain(Error error) {
  if (!child_.ended(kDying)) return error;
  // That its client has hung up is nothing to tell.
  if (auto done = child_.succeed(); !done)
    error.message += "; " + done.error().message;
  return error;
}

}  // namespace blksnap::qemu
