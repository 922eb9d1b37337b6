// SPDX-License-Identifier: LGPL-2.1-or-later
// CLI11 without its headers, which take longer to compile than most files that
// declare options with them: app.cc alone includes them. Functions have the
// names that CLI11 gives them, and do the same.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace blksnap::cli {

// Bounds may hide the text of an option; the error message has them in any
// case.
enum class InHelp { kShow, kHide };

// An option or operand: a pointer to it, for as long as there is the
// CommandLine.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}

  Option required();
  Option type_name(const std::string& name);
  Option excludes(Option other);
  Option needs(Option other);
  Option allow_extra_args(bool allow);  // several values after one --option
  Option delimiter(char between);
  Option configurable(bool value);
  Option capture_default_str();
  Option check_range(int lowest, int highest, InHelp bounds = InHelp::kShow);
  Option check_member(const std::vector<std::string>& values);

  std::size_t count() const;  // on the command line
  std::string get_type_name() const;
  std::string get_name() const;  // "--unix", "REPO"
  bool get_positional() const;
  int get_items_expected_max() const;
  std::vector<std::string> spellings() const;  // "-U", "--unix"

 private:
  CLI::Option* option_;
};

// A command: the program itself or one below it. A pointer as Option is.
class App {
 public:
  explicit App(CLI::App* app) : app_(app) {}

  // Parsing writes to `value`, which has to be there until then.
  Option add_option(const std::string& names, std::string& value,
                    const std::string& text);
  Option add_option(const std::string& names, std::vector<std::string>& value,
                    const std::string& text);
  Option add_option(const std::string& names, std::optional<std::string>& value,
                    const std::string& text);
  Option add_option(const std::string& names, std::optional<int>& value,
                    const std::string& text);
  // (std::size_t is one of these.)
  Option add_option(const std::string& names, unsigned& value,
                    const std::string& text);
  Option add_option(const std::string& names, unsigned long& value,
                    const std::string& text);
  Option add_flag(const std::string& names, bool& value,
                  const std::string& text);
  // "--name{10}": 10, unless there is --name=NUMBER.
  Option add_flag(const std::string& names, unsigned long& value,
                  const std::string& text);

  App add_subcommand(const std::string& name, const std::string& text);
  void require_subcommand(int count);
  void footer(const std::string& text);
  void callback(std::function<void()> call);

  std::string get_name() const;
  std::vector<Option> get_options() const;
  std::vector<App> get_subcommands() const;
  // After parsing.
  std::vector<App> parsed_subcommands() const;
  std::vector<std::string> remaining() const;  // words that nothing takes

 private:
  CLI::App* app_;
};

class CommandLine {
 public:
  CommandLine(const std::string& text, const std::string& name,
              const std::string& version);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  App app() { return App(app_.get()); }

  // For --help: flags without "Excludes:", and "--files[=COUNT]" for a flag
  // with an optional value. Call it before add_subcommand().
  void brief_flags();
  // An option for a file of options and words. One that names an unknown option
  // is an error, as on the command line.
  Option set_config(const std::string& name, const std::string& text);
  // Options and words that are set or have a default, as such a file has them.
  // After parsing.
  std::string config_to_str();

  // Returns an exit status if there is nothing more to do: --help or --version
  // was printed.
  Result<std::optional<int>> parse(int argc, char** argv);

 private:
  std::unique_ptr<CLI::App> app_;
};

}  // namespace blksnap::cli
