#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checkpoints by the names that were given to them, from a file that changes
while the server runs. The file is written from its description in
core/checkpoint/FORMAT.md."""

import json
import os
import struct
import unittest

from mapfile import ChangeMap
from nbdwire import *

GENERATION = "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e"
OTHER = "4f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e"
BITMAP = "qemu:dirty-bitmap:"


class Checkpoints(ProgramTest):
    def setUp(self):
        super().setUp()
        self.map = ChangeMap(1 << 20, 64 << 10, GENERATION, 9,
                             bytes(i % 10 for i in range(16)))
        self.map.save(self.place("map"))
        self.names = self.place("names.json")
        self.previous = f"{GENERATION}.8"

    def write(self, *names):
        """(NAME, GENERATION, NUMBER) each."""
        text = json.dumps({"version": 1, "checkpoints": [
            {"name": name, "device": "/dev/vdb",
             "checkpoint": f"{generation}.{number}",
             "added": "2026-11-22T01:02:03Z"}
            for name, generation, number in names]})
        with open(self.names + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(self.names + ".new", self.names)

    def serve(self, *args, **options):
        return self.server("file=" + self.disk, "name=disk",
                           "cbt=" + self.place("map"),
                           "checkpoints=" + self.names, *args, **options)

    def client(self, server):
        client = server.client().greet()
        self.addCleanup(client.close)
        client.option(OPT_STRUCTURED_REPLY)
        return client

    def exports(self, client):
        names = []
        for _, data in client.option(OPT_LIST):
            length, = struct.unpack(">I", data[:4])
            names.append(data[4:4 + length].decode())
        return names

    def listed(self, client, export="disk", asked=()):
        return [name for _, name in client.contexts(
            OPT_LIST_META_CONTEXT, export, list(asked))]

    def selected(self, client, export, *asked):
        return [name for _, name in client.contexts(
            OPT_SET_META_CONTEXT, export, list(asked))]

    def refused(self, client, export):
        with self.assertRaises(Refused) as refusal:
            client.info(OPT_INFO, export)
        self.assertEqual(refusal.exception.args[0], ERR_UNKNOWN)
        return refusal.exception.args[1]

    def test_names_are_seen_as_they_come_and_go(self):
        server = self.serve()
        client = self.client(server)
        plain = ["base:allocation", BITMAP + self.previous]
        self.assertEqual(self.listed(client), plain)
        self.write(("monday", GENERATION, 3), ("tuesday", GENERATION, 8))
        # On the same connection, and one of them is the previous take as well.
        self.assertEqual(self.listed(client),
                         plain + [BITMAP + "monday", BITMAP + "tuesday"])
        self.assertEqual(
            self.listed(client, asked=["qemu:dirty-bitmap:", BITMAP + "monday"]),
            [BITMAP + self.previous, BITMAP + "monday", BITMAP + "tuesday"])
        self.assertEqual(self.exports(client), [
            "disk", f"disk@{self.previous}", f"disk@{self.previous}+changed",
            "disk@monday", "disk@monday+changed",
            "disk@tuesday", "disk@tuesday+changed"])
        os.remove(self.names)
        self.assertEqual(self.listed(client), plain)
        self.assertEqual(
            self.selected(client, "disk", BITMAP + "monday"), [])
        self.assertIn("'monday' is not a checkpoint",
                      str(self.refused(client, "disk@monday")))
        self.assertNotIn("error", server.log_text())

    def test_a_name_is_its_checkpoint(self):
        self.write(("monday", GENERATION, 3))
        server = self.serve()
        for export in "disk", "", "disk@monday", f"disk@{GENERATION}.3":
            with self.subTest(export):
                client = server.client().greet()
                with client:
                    client.option(OPT_STRUCTURED_REPLY)
                    names = [BITMAP + "monday", f"{BITMAP}{GENERATION}.3"]
                    found = client.contexts(OPT_SET_META_CONTEXT, export, names)
                    self.assertEqual([name for _, name in found], names)
                    client.ids = dict(found)
                    client.info(OPT_GO, export)
                    extents = client.block_status(0, 1 << 20)
                    wanted = [(length, dirty) for _, length, dirty
                              in self.map.since(3)]
                    self.assertEqual(extents[names[0]], wanted)
                    self.assertEqual(extents[names[1]], wanted)

    def test_views_have_one_bitmap(self):
        self.write(("monday", GENERATION, 3), ("tuesday", GENERATION, 5))
        client = self.client(self.serve())
        self.assertEqual(self.listed(client, "disk@monday"),
                         ["base:allocation", BITMAP + "monday"])
        self.assertEqual(
            self.selected(client, "disk@monday", BITMAP + "tuesday",
                          BITMAP + "monday", BITMAP + "backup-disk"),
            [BITMAP + "monday", BITMAP + "backup-disk"])
        self.assertEqual(self.listed(client, "disk@monday+changed"),
                         ["base:allocation", "qemu:allocation-depth"])
        text = client.info(OPT_INFO, "disk@monday", [INFO_DESCRIPTION])
        self.assertIn(f" since monday, checkpoint={GENERATION}.9 "
                      f"since={GENERATION}.3 ",
                      text[INFO_DESCRIPTION].decode())

    def test_what_does_not_stand_is_not_offered(self):
        self.write(("stale", OTHER, 3), ("ahead", GENERATION, 10),
                   ("good", GENERATION, 9))
        client = self.client(self.serve())
        self.assertEqual(self.listed(client),
                         ["base:allocation", BITMAP + self.previous,
                          BITMAP + "good"])
        self.assertEqual(
            self.selected(client, "disk", BITMAP + "stale", BITMAP + "ahead",
                          BITMAP + "good"), [BITMAP + "good"])
        for view in "", "+changed":
            self.assertEqual(
                self.selected_or_none(client, "disk@stale" + view), None)
            self.refused(client, "disk@stale" + view)
            self.refused(client, "disk@ahead" + view)

    def selected_or_none(self, client, export):
        try:
            return self.selected(client, export, "base:allocation")
        except Refused:
            return None

    def test_a_damaged_file_is_told_once_and_offers_nothing(self):
        server = self.serve()
        self.write(("monday", GENERATION, 3))
        plain = ["base:allocation", BITMAP + self.previous]
        for text, said in (
                ('{"version": 1, "checkpoints": [{"na', "parse error at line 1"),
                ('{"version": 3}',
                 "version 3, and only versions 1 and 2 are known")):
            with open(self.names, "w", encoding="utf-8") as file:
                file.write(text)
            for _ in range(3):
                client = self.client(server)
                self.assertEqual(self.listed(client), plain)
                self.assertEqual(
                    self.selected(client, "disk", BITMAP + "monday",
                                  BITMAP + self.previous),
                    [BITMAP + self.previous])
            lines = [line for line in server.log_text().splitlines()
                     if said in line]
            self.assertEqual(len(lines), 1, server.log_text())
            self.assertIn(" error: ", lines[0])
            self.assertIn(self.names, lines[0])
        self.write(("monday", GENERATION, 3))
        self.assertIn(BITMAP + "monday", self.listed(self.client(server)))

    def test_after_privileges_are_gone(self):
        if os.getuid() != 0:
            self.skipTest("not root")
        # What is there at start is opened before; the names are not.
        os.chmod(self.directory, 0o755)
        server = self.serve("-u", "nobody", "-g", "nogroup",
                            "--unix-mode=0666")
        self.write(("monday", GENERATION, 3))
        os.chmod(self.names, 0o644)
        self.assertIn(BITMAP + "monday", self.listed(self.client(server)))
        os.chmod(self.names, 0o600)
        self.assertNotIn(BITMAP + "monday", self.listed(self.client(server)))
        server.wait_for_log(" error: names of checkpoints are not offered: "
                            "open .*names.json: Permission denied")


if __name__ == "__main__":
    unittest.main()
