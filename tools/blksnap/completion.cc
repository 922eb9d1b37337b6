// SPDX-License-Identifier: LGPL-2.1-or-later
#include "completion.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <vector>

namespace blksnap::tool {
namespace {

// The same for every program; what it needs to know of this one is asked from
// _blksnap_of. Readable without the package bash-completion, which finds the
// file and has not much else to do with it.
constexpr char kScript[] = R"bash(
# _blksnap_values PROGRAM KIND : what an option or an operand may be.
_blksnap_values() {
    case $2 in
    device) lsblk -lnpo NAME 2>/dev/null ;;
    name) "$1" checkpoint list 2>/dev/null | awk 'NR > 1 { print $1 }' | sort -u ;;
    checkpoint) "$1" checkpoint list 2>/dev/null | awk 'NR > 1 { print $3 }' | sort -u ;;
    snapshot) "$1" snapshot_collect 2>/dev/null ;;
    =*) tr , '\n' <<<"${2#=}" ;;
    esac
}

_blksnap() {
    local commands options values operands
    local command='' kind='' cur=${COMP_WORDS[COMP_CWORD]} prev word i
    prev=${COMP_WORDS[COMP_CWORD - 1]}
    # --device=/dev/vdb is three words.
    if [ "$cur" = = ]; then
        cur=''
    elif [ "$prev" = = ]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    _blksnap_of ''
    for ((i = 1; i < COMP_CWORD; ++i)); do
        word=${COMP_WORDS[i]}
        [[ " $commands " = *" $word "* ]] || break
        command+=${command:+ }$word
        _blksnap_of "$command"
    done
    if [[ " $values " = *" $prev:"* ]]; then
        kind=${values#*" $prev:"}
        kind=${kind%% *}
    elif [ -n "$commands" ]; then
        kind="=${commands// /,}"
    else
        # The first operand that is not there yet.
        operands+=' '
        for (( ; i < COMP_CWORD; ++i)); do
            word=${COMP_WORDS[i]}
            if [[ " $values " = *" $word:"* ]]; then
                ((++i))
                [ "${COMP_WORDS[i]}" != = ] || ((++i))
            elif [[ $word != -* ]]; then
                operands=${operands#* }
            fi
        done
        kind=${operands%% *}
    fi
    COMPREPLY=()
    if [[ $cur = -* && " $values " != *" $prev:"* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    elif [ "$kind" = file ]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    elif [ -n "$kind" ]; then
        mapfile -t COMPREPLY < <(
            compgen -W "$(_blksnap_values "$1" "$kind")" -- "$cur")
    fi
}
complete -F _blksnap blksnap
)bash";

// What a value is, by the name of its type; "none" where there is nothing to
// propose.
std::string kind_of(const CLI::Option& option) {
  static const std::map<std::string, std::string, std::less<>> kKinds = {
      {"DEVICE", "device"},   {"FILE", "file"},
      {"PATH", "file"},       {"UUID", "snapshot"},
      {"CHECKPOINT", "name"}, {"GENERATION.N", "checkpoint"},
  };
  const std::string type = option.get_type_name();
  // "TEXT:{raw,saved}", of CLI::IsMember.
  const auto open = type.find('{'), close = type.rfind('}');
  if (open != type.npos && close != type.npos && open < close)
    return "=" + type.substr(open + 1, close - open - 1);
  const auto found = kKinds.find(type);
  return found == kKinds.end() ? "none" : found->second;
}

void append(std::string& list, const std::string& word) {
  if (!list.empty()) list += ' ';
  list += word;
}

std::vector<std::string> spellings(const CLI::Option& option) {
  std::vector<std::string> all;
  for (const std::string& name : option.get_snames()) all.push_back("-" + name);
  for (const std::string& name : option.get_lnames())
    all.push_back("--" + name.substr(0, name.find('{')));  // a flag's default
  return all;
}

// The arm of one command, and those of the commands below it.
std::string arms(const CLI::App& app, const std::string& command) {
  std::string commands, options, values, operands, below;
  for (const CLI::App* sub : app.get_subcommands({})) {
    append(commands, sub->get_name());
    below +=
        arms(*sub, command + (command.empty() ? "" : " ") + sub->get_name());
  }
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) append(operands, kind_of(*option));
    for (const std::string& spelling : spellings(*option)) {
      append(options, spelling);
      if (option->get_items_expected_max() > 0)
        append(values, spelling + ":" + kind_of(*option));
    }
  }
  return "    '" + command + "')\n        commands='" + commands +
         "'\n        options='" + options + "'\n        values=' " + values +
         "'\n        operands='" + operands + "'\n        ;;\n" + below;
}

}  // namespace

std::string bash_completion(const CLI::App& app) {
  return "# bash completion for blksnap(8), by blksnap --completion=bash.\n"
         "# shellcheck shell=bash\n\n"
         "# _blksnap_of COMMAND : what may follow it.\n"
         "_blksnap_of() {\n    case $1 in\n" +
         arms(app, "") + "    esac\n}\n" + kScript;
}

}  // namespace blksnap::tool
