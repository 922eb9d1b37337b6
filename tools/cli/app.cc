// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/app.h"

#include <CLI/CLI.hpp>
#include <cerrno>
#include <sstream>
#include <utility>

namespace blksnap::cli {
namespace {

class BriefFlags : public CLI::Formatter {
 public:
  // CLI11 shows the value that the flag has without one, "--files{10}".
  std::string make_option_name(const CLI::Option* option,
                               bool positional) const override {
    const std::string name =
        CLI::Formatter::make_option_name(option, positional);
    const std::size_t value = name.find('{');
    if (value == name.npos) return name;
    return name.substr(0, value) + "[=" + option->get_type_name() + "]";
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_expected_min() == 0) return "";  // a flag
    return CLI::Formatter::make_option_opts(option);
  }
};

std::vector<App> handles(const std::vector<CLI::App*>& apps) {
  std::vector<App> all;
  for (CLI::App* app : apps) all.emplace_back(app);
  return all;
}

}  // namespace

Option Option::required() {
  option_->required();
  return *this;
}

Option Option::type_name(const std::string& name) {
  option_->type_name(name);
  return *this;
}

Option Option::excludes(Option other) {
  option_->excludes(other.option_);
  return *this;
}

Option Option::needs(Option other) {
  option_->needs(other.option_);
  return *this;
}

Option Option::allow_extra_args(bool allow) {
  option_->allow_extra_args(allow);
  return *this;
}

Option Option::delimiter(char between) {
  option_->delimiter(between);
  return *this;
}

Option Option::configurable(bool value) {
  option_->configurable(value);
  return *this;
}

Option Option::capture_default_str() {
  option_->capture_default_str();
  return *this;
}

Option Option::check_range(int lowest, int highest, InHelp bounds) {
  CLI::Range range(lowest, highest);
  if (bounds == InHelp::kHide) range.description("");
  option_->check(range);
  return *this;
}

Option Option::check_member(const std::vector<std::string>& values) {
  option_->check(CLI::IsMember(values));
  return *this;
}

std::size_t Option::count() const {
  return option_->count();
}

std::string Option::get_type_name() const {
  return option_->get_type_name();
}

std::string Option::get_name() const {
  return option_->get_name(option_->get_positional());
}

bool Option::get_positional() const {
  return option_->get_positional();
}

int Option::get_items_expected_max() const {
  return option_->get_items_expected_max();
}

std::vector<std::string> Option::spellings() const {
  std::vector<std::string> all;
  for (const std::string& name : option_->get_snames())
    all.push_back("-" + name);
  for (const std::string& name : option_->get_lnames())
    all.push_back("--" + name.substr(0, name.find('{')));  // a flag's default
  return all;
}

Option App::add_option(const std::string& names, std::string& value,
                       const std::string& text) {
  return Option(app_->add_option(names, value, text));
}

Option App::add_option(const std::string& names,
                       std::vector<std::string>& value,
                       const std::string& text) {
  return Option(app_->add_option(names, value, text));
}

Option App::add_option(const std::string& names,
                       std::optional<std::string>& value,
                       const std::string& text) {
  return Option(app_->add_option(names, value, text));
}

Option App::add_option(const std::string& names, std::optional<int>& value,
                       const std::string& text) {
  return Option(app_->add_option(names, value, text));
}

Option App::add_option(const std::string& names, unsigned& value,
                       const std::string& text) {
  return Option(app_->add_option(names, value, text));
}

Option App::add_option(const std::string& names, unsigned long& value,
                       const std::string& text) {
  return Option(app_->add_option(names, value, text));
}

Option App::add_flag(const std::string& names, bool& value,
                     const std::string& text) {
  return Option(app_->add_flag(names, value, text));
}

Option App::add_flag(const std::string& names, unsigned long& value,
                     const std::string& text) {
  return Option(app_->add_flag(names, value, text));
}

App App::add_subcommand(const std::string& name, const std::string& text) {
  return App(app_->add_subcommand(name, text));
}

void App::require_subcommand(int count) {
  app_->require_subcommand(count);
}

void App::footer(const std::string& text) {
  app_->footer(text);
}

void App::callback(std::function<void()> call) {
  app_->callback(std::move(call));
}

std::string App::get_name() const {
  return app_->get_name();
}

std::vector<Option> App::get_options() const {
  std::vector<Option> all;
  for (CLI::Option* option : app_->get_options()) all.emplace_back(option);
  return all;
}

std::vector<App> App::get_subcommands() const {
  return handles(app_->get_subcommands(nullptr));
}

std::vector<App> App::parsed_subcommands() const {
  return handles(app_->get_subcommands());
}

std::vector<std::string> App::remaining() const {
  return app_->remaining();
}

CommandLine::CommandLine(const std::string& text, const std::string& name,
                         const std::string& version)
    : app_(std::make_unique<CLI::App>(text, name)) {
  app_->set_version_flag("--version", version);
}

CommandLine::~CommandLine() = default;

void CommandLine::brief_flags() {
  app_->formatter(std::make_shared<BriefFlags>());
}

Option CommandLine::set_config(const std::string& name,
                               const std::string& text) {
  app_->allow_config_extras(CLI::config_extras_mode::error);
  return Option(app_->set_config(name, "", text));
}

std::string CommandLine::config_to_str() {
  for (CLI::Option* option : app_->get_options()) option->capture_default_str();
  std::istringstream lines(app_->config_to_str(/*default_also=*/true));
  std::string config;
  for (std::string line; std::getline(lines, line);) {
    // Neither given nor with a default.
    if (!line.ends_with("=\"\"") && !line.ends_with("=\"[]\""))
      config += line + "\n";
  }
  return config;
}

Result<std::optional<int>> CommandLine::parse(int argc, char** argv) {
  const auto of_config = [&](const CLI::Error& error) {
    return context(Option(app_->get_config_ptr()).get_name(),
                   refuse(EINVAL, error.what()));
  };
  try {
    app_->parse(argc, argv);
  } catch (const CLI::FileError& error) {
    return of_config(error);
  } catch (const CLI::ConfigError& error) {
    return of_config(error);
  } catch (const CLI::ParseError& error) {
    // Help and --version come as errors too, with exit code 0.
    if (error.get_exit_code() != 0) return refuse(EINVAL, error.what());
    return std::optional(app_->exit(error));
  }
  return std::optional<int>();
}

}  // namespace blksnap::cli
