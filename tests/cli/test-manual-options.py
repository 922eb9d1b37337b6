#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The options of each command are the same in its --help and in blksnap(8), and
the examples of the help use no others."""
import functools
import itertools
import os
import re
import shlex
import subprocess
import sys

BLKSNAP = os.environ["BLKSNAP"]
PAGE = os.environ["SOURCE_DIR"] + "/tools/man/blksnap.8"
# Of every command, and told once.
COMMON = {"-h", "--help", "--json"}


@functools.cache
def help_of(words):
    return subprocess.run([BLKSNAP, *words, "--help"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def block(text, title):
    found = re.search(rf"^{title}:\n(.*?)(?:^$|\Z)", text, re.M | re.S)
    return found.group(1).splitlines() if found else []


def helped(words=()):
    """{command: its options}, of those that do something."""
    text = help_of(words)
    below = [line.split()[0] for line in block(text, "Subcommands")]
    if not below:
        spelled = (re.match(r" {2}(-[^ \[]*)", line) for line in block(text, "Options"))
        return {" ".join(words): {name for found in spelled if found
                                  for name in found.group(1).split(",")}}
    return {command: options for word in below
            for command, options in helped((*words, word)).items()}


def faults_of_examples(command, options):
    """What is wrong with the examples of a command's help, in sentences."""
    lines = "\n".join(block(help_of(tuple(command.split())), "Examples"))
    examples = [shlex.split(line)
                for line in lines.replace("\\\n", " ").splitlines()]
    if not examples:
        yield "has no example"
    for example in examples:
        # What reads its output is not ours.
        ours = list(itertools.takewhile(lambda word: word != "|", example))
        if not " ".join(ours).startswith(f"blksnap {command}"):
            yield f"has an example of something else: {shlex.join(example)}"
        for word in ours:
            if word.startswith("-") and word.split("=")[0] not in options:
                yield f"has an example with an option that is not there: {word}"


def flags(line):
    """The options of a line of mdoc: what follows Fl, until the next macro."""
    found, after = set(), False
    for word in line.split():
        if re.fullmatch(r"\.?[A-Z][a-z]", word):
            after = word.lstrip(".") == "Fl"
        elif after and re.fullmatch(r"-?[A-Za-z][a-z-]*", word):
            found.add("-" + word)
    return found


def documented(commands):
    """The same, as the page has them: where a command is declared, and in the
    list of its options."""
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    page = page[page.index(".Sh DESCRIPTION"):page.index(".Sh JSON")]
    # A declaration may be of several lines.
    page = re.sub(r"^\.It Xo\n(.*?)^\.Xc$", lambda xo: ".It " + " ".join(
        line.lstrip(".") for line in xo.group(1).splitlines()), page, flags=re.M | re.S)
    told, command = {}, None
    for line in page.splitlines():
        if line.startswith(".S"):
            command = None
        if not line.startswith(".It "):
            continue
        if line.startswith(".It Cm "):
            words = line.split()[2:]
            command = next((name for name in (" ".join(words[:2]), words[0])
                            if name in commands), None)
            if command is None:
                sys.exit(f"FAILED: the page has a command {words[0]}")
        if command:
            told.setdefault(command, set()).update(flags(line))
    return told


def main():
    there = helped()
    told = documented(there)
    wrong = 0
    for command, options in there.items():
        if not COMMON <= options:
            print(f"FAILED: {command} lacks {COMMON - options}")
            wrong += 1
        for fault in faults_of_examples(command, options):
            print(f"FAILED: the help of {command} {fault}")
            wrong += 1
        for what, names in (("page", options - COMMON - told.get(command, set())),
                            ("help", told.get(command, set()) - options)):
            if names or command not in told:
                print(f"FAILED: the {what} of {command} lacks {' '.join(sorted(names))}")
                wrong += 1
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    for line in (".Fl h | -help", ".Fl -version", ".Fl -json"):
        if f"\n{line}\n" not in page:
            print(f"FAILED: the page lacks {line}")
            wrong += 1
    if len(there) < 24:
        sys.exit(f"FAILED: commands: {sorted(there)}")
    sys.exit(wrong != 0)


main()
