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
// file and has not much else to do with it. Names of files are left to readline
// (compopt), which knows about quotes, tildes and blanks in them.
constexpr char kScript[] = R"bash(
# _blksnap_words : what stands before the cursor into words, as the program will
# see it: bash takes apart what has a ':' or a '=' in it.
_blksnap_words() {
    local line=$COMP_LINE before piece i
    words=()
    for ((i = 0; i <= COMP_CWORD; ++i)); do
        piece=${COMP_WORDS[i]}
        before=${line%%[![:blank:]]*}
        line=${line#"$before$piece"}
        if ((i > 1)) && [[ -z $before &&
            (-z ${piece//[:=]/} || -z ${COMP_WORDS[i - 1]//[:=]/}) ]]; then
            words[-1]+=$piece
        else
            words+=("$piece")
        fi
    done
}

# _blksnap_values PROGRAM KIND REPO : what an option or an operand may be.
_blksnap_values() {
    case $2 in
    device) lsblk -lnpo NAME ;;
    name) "$1" checkpoint list | awk 'NR > 1 { print $1 }' | sort -u ;;
    checkpoint) "$1" checkpoint list | awk 'NR > 1 { print $3 }' | sort -u ;;
    snapshot) "$1" snapshot_collect ;;
    point) "$1" list "$3" | awk 'NR > 1 { print $1 }' | sort -u ;;
    disk) "$1" list "$3" | awk 'NR > 1 { print $2 }' | sort -u ;;
    =*) tr , '\n' <<<"${2#=}" ;;
    esac 2>/dev/null
}

_blksnap() {
    local commands options values operands words
    local command='' kind='' repository='' head='' cur prev last word i
    _blksnap_words
    last=$((${#words[@]} - 1))
    cur=${words[last]} prev=${words[last - 1]}
    if [[ $cur = --*=* ]]; then
        prev=${cur%%=*} cur=${cur#*=}
        head=$prev=
    fi
    _blksnap_of ''
    for ((i = 1; i < last; ++i)); do
        word=${words[i]}
        [[ " $commands " = *" $word "* ]] || break
        command+=${command:+ }$word
        _blksnap_of "$command"
    done
    # The first operand that is not there yet; the last may be repeated.
    operands+=' '
    for (( ; i < last; ++i)); do
        word=${words[i]}
        if [[ " $values " = *" $word:"* ]]; then
            ((++i))
        elif [[ $word != -* ]]; then
            : "${repository:=${word/#\~\//$HOME/}}"
            [[ $operands = *+' ' ]] || operands=${operands#* }
        fi
    done
    if [[ " $values " = *" $prev:"* ]]; then
        kind=${values#*" $prev:"}
        kind=${kind%% *}
    elif [ -n "$commands" ]; then
        kind="=${commands// /,}"
    else
        kind=${operands%% *}
        kind=${kind%+}
    fi
    COMPREPLY=()
    if [[ $cur = -* && " $values " != *" $prev:"* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        return
    fi
    case $kind in
    directory) compopt -o dirnames ;;
    file | device | source) compopt -o default ;;
    esac 2>/dev/null
    [[ $kind != source || $cur != /dev/* ]] || kind=device
    while read -r word; do
        [[ $word != "$cur"* ]] || COMPREPLY+=("$word")
    done < <(_blksnap_values "$1" "$kind" "$repository")
    # What is proposed stands for the last piece of what bash took apart.
    word=${COMP_WORDS[COMP_CWORD]}
    [ -n "${word//[:=]/}" ] || word=''
    head=$head$cur
    word=${head%"$word"}
    COMPREPLY=("${COMPREPLY[@]/#/${head%"$cur"}}")
    COMPREPLY=("${COMPREPLY[@]#"$word"}")
}
complete -F _blksnap blksnap
)bash";

// What a value is, by the name of the option or operand, or of its type; "none"
// where there is nothing to propose.
std::string kind_of(const cli::Option& option) {
  static const std::map<std::string, std::string, std::less<>> kKinds = {
      {"DEVICE", "device"},   {"FILE", "file"},
      {"PATH", "file"},       {"SOCKET", "file"},
      {"TARGET", "source"},   {"SOURCE", "source"},
      {"REPO", "directory"},  {"DIR", "directory"},
      {"POINT", "point"},     {"--disk", "disk"},
      {"CHECKPOINT", "name"}, {"GENERATION.N.INSTANT", "checkpoint"},
      {"UUID", "snapshot"},
  };
  const std::string type = option.get_type_name();
  // "TEXT:{raw,saved}", of check_member().
  const auto open = type.find('{'), close = type.rfind('}');
  if (open != type.npos && close != type.npos && open < close)
    return "=" + type.substr(open + 1, close - open - 1);
  auto found = kKinds.find(option.get_name());
  if (found == kKinds.end()) found = kKinds.find(type);
  return found == kKinds.end() ? "none" : found->second;
}

void append(std::string& list, const std::string& word) {
  if (!list.empty()) list += ' ';
  list += word;
}

// The arm of one command, and those of the commands below it.
std::string arms(const cli::App& app, const std::string& command) {
  std::string commands, options, values, operands, below;
  for (const cli::App& sub : app.get_subcommands()) {
    append(commands, sub.get_name());
    below += arms(sub, command + (command.empty() ? "" : " ") + sub.get_name());
  }
  for (const cli::Option& option : app.get_options()) {
    if (option.get_positional())
      append(operands, kind_of(option) +
                           (option.get_items_expected_max() > 1 ? "+" : ""));
    for (const std::string& spelling : option.spellings()) {
      append(options, spelling);
      if (option.get_items_expected_max() > 0)
        append(values, spelling + ":" + kind_of(option));
    }
  }
  return "    '" + command + "')\n        commands='" + commands +
         "'\n        options='" + options + "'\n        values=' " + values +
         "'\n        operands='" + operands + "'\n        ;;\n" + below;
}

}  // namespace

std::string bash_completion(const cli::App& app) {
  return "# bash completion for blksnap(8), by blksnap --completion=bash.\n"
         "# shellcheck shell=bash\n\n"
         "# _blksnap_of COMMAND : what may follow it.\n"
         "_blksnap_of() {\n    case $1 in\n" +
         arms(app, "") + "    esac\n}\n" + kScript;
}

}  // namespace blksnap::tool
