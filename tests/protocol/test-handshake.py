#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Options, their replies and their errors, against the program itself."""

import struct
import unittest

from nbdwire import *


class Handshake(ServerTest):
    def refused(self, client, option, data=b""):
        with self.assertRaises(Refused) as refusal:
            client.option(option, data)
        kind, message = refusal.exception.args
        self.assertTrue(message)
        return kind

    def test_export_name_with_zeroes(self):
        client = self.client().greet(flags=1)
        client.send_option(OPT_EXPORT_NAME, b"disk")
        size, flags = struct.unpack(">QH", client.receive(10))
        self.assertEqual(size, self.SIZE)
        self.assertEqual(flags, 1 | 2 | 0x100 | 0x400)
        self.assertEqual(client.receive(124), bytes(124))
        cookie = client.request(CMD_READ, 1 << 20, 512)
        self.assertEqual(client.simple_reply(cookie), 0)
        self.assertEqual(client.receive(512),
                         self.content[1 << 20:(1 << 20) + 512])

    def test_export_name_without_zeroes_default_export(self):
        client = self.client().greet(flags=3)
        client.send_option(OPT_EXPORT_NAME)
        self.assertEqual(struct.unpack(">Q", client.receive(8))[0], self.SIZE)
        client.receive(2)
        cookie = client.request(CMD_READ, 0, 16)
        self.assertEqual(client.simple_reply(cookie), 0)
        self.assertEqual(client.receive(16), bytes(16))

    def test_export_name_unknown(self):
        client = self.client().greet()
        client.send_option(OPT_EXPORT_NAME, b"nope")
        self.assertTrue(client.at_end())
        self.assert_serving()

    def test_unknown_client_flag(self):
        self.assertTrue(self.client().greet(flags=7).at_end())
        self.assert_serving()

    def test_not_fixed_newstyle(self):
        client = self.client().greet(flags=0)
        client.send_option(OPT_LIST)
        self.assertTrue(client.at_end())

    def test_abort(self):
        client = self.client().greet()
        self.assertEqual(client.option(OPT_ABORT), [])
        self.assertTrue(client.at_end())

    def test_abort_without_waiting(self):
        client = self.client().greet()
        client.send_option(OPT_ABORT)
        client.close()
        self.assert_serving()

    def test_list(self):
        client = self.client().greet()
        names = []
        for kind, data in client.option(OPT_LIST):
            self.assertEqual(kind, REP_SERVER)
            length, = struct.unpack(">I", data[:4])
            names.append(data[4:4 + length].decode())
        self.assertEqual(names, ["disk", f"disk@{self.GENERATION}.8",
                                 f"disk@{self.GENERATION}.8+changed"])
        self.assertEqual(self.refused(client, OPT_LIST, b"x"), ERR_INVALID)

    def test_unsupported_options_keep_the_stream_in_step(self):
        client = self.client().greet()
        for option in (0, 4, OPT_STARTTLS, 12, 1 << 31):
            for data in (b"", b"x", bytes(50_000)):
                self.assertEqual(self.refused(client, option, data), ERR_UNSUP)
        self.assertEqual(self.refused(client, 77, bytes(1 << 20)), ERR_TOO_BIG)
        client.option(OPT_STRUCTURED_REPLY)

    def test_info_then_go(self):
        client = self.client().greet()
        asked = (INFO_EXPORT, INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE, 99)
        info = client.info(OPT_INFO, "", asked)
        self.assertEqual(client.size, self.SIZE)
        self.assertEqual(info[INFO_NAME], b"disk")
        self.assertIn(f"checkpoint={self.GENERATION}.9",
                      info[INFO_DESCRIPTION].decode())
        minimum, preferred, maximum = struct.unpack(
            ">III", info[INFO_BLOCK_SIZE])
        self.assertEqual(minimum & (minimum - 1), 0)
        self.assertGreaterEqual(preferred, 512)
        self.assertEqual(maximum, 32 << 20)
        self.assertEqual(client.info(OPT_GO, "", asked), info)

    def test_go_tells_no_more_than_asked(self):
        client = self.client().greet()
        self.assertEqual(client.info(OPT_GO, "disk").keys(), {INFO_EXPORT})
        self.assertEqual(client.flags, 1 | 2 | 0x100 | 0x400)

    def test_df_is_advertised_with_structured_replies(self):
        client = self.client().greet()
        client.option(OPT_STRUCTURED_REPLY)
        client.info(OPT_GO, "disk")
        self.assertEqual(client.flags, 1 | 2 | 0x80 | 0x100 | 0x400)

    def test_go_refused(self):
        client = self.client().greet()
        for option in (OPT_GO, OPT_INFO):
            self.assertEqual(
                self.refused(client, option, counted("nope") + b"\0\0"),
                ERR_UNKNOWN)
            for data in (b"", b"\0\0\0\4dis", counted("disk"),
                         counted("disk") + b"\0\1",
                         counted("disk") + b"\0\0\0",
                         b"\xff\xff\xff\xffdisk\0\0",
                         counted("x" * 4097) + b"\0\0"):
                self.assertEqual(self.refused(client, option, data),
                                 ERR_INVALID)
        client.info(OPT_GO, "disk")

    def test_structured_reply_with_data(self):
        client = self.client().greet()
        self.assertEqual(self.refused(client, OPT_STRUCTURED_REPLY, b"\0"),
                         ERR_INVALID)

    def test_contexts_before_structured_replies(self):
        client = self.client().greet()
        for option in (OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT):
            self.assertEqual(
                self.refused(client, option, queries("disk", [])), ERR_INVALID)

    def test_list_contexts(self):
        client = self.client().greet()
        client.option(OPT_STRUCTURED_REPLY)
        base, dirty = (0, "base:allocation"), (0, self.dirty(8))
        for names, found in ((), [base, dirty]), \
                            (["base:"], [base]), \
                            (["qemu:"], [dirty]), \
                            (["qemu:dirty-bitmap:"], [dirty]), \
                            ([self.dirty(3)], [(0, self.dirty(3))]), \
                            (["x-none:", "qemu:other", "", ":"], []):
            with self.subTest(names):
                self.assertEqual(
                    client.contexts(OPT_LIST_META_CONTEXT, "disk", names),
                    found)
        self.assertEqual(
            self.refused(client, OPT_LIST_META_CONTEXT, queries("nope", [])),
            ERR_UNKNOWN)

    def test_set_contexts(self):
        client = self.client().greet()
        client.option(OPT_STRUCTURED_REPLY)
        names = [self.dirty(3), "base:allocation", "qemu:", self.dirty(3),
                 self.dirty(10), self.dirty("03"), "x-none:y"]
        found = client.contexts(OPT_SET_META_CONTEXT, "disk", names)
        self.assertEqual([name for _, name in found],
                         [self.dirty(3), "base:allocation"])
        self.assertEqual(len({number for number, _ in found}), 2)

    def test_a_checkpoint_of_another_generation_is_not_offered(self):
        client = self.client().greet()
        client.option(OPT_STRUCTURED_REPLY)
        other = "qemu:dirty-bitmap:" + self.GENERATION[:-1] + "f.3"
        self.assertEqual(
            client.contexts(OPT_SET_META_CONTEXT, "disk", [other]), [])

    def test_another_export_drops_the_contexts(self):
        client = self.client().greet()
        client.option(OPT_STRUCTURED_REPLY)
        client.contexts(OPT_SET_META_CONTEXT, "disk", ["base:allocation"])
        client.info(OPT_GO, "")  # the same export, by another name
        self.assertEqual(client.failure(CMD_BLOCK_STATUS, 0, 512), EINVAL)

    def test_queries_that_lie(self):
        for option in (OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT):
            client = self.client().greet()
            client.option(OPT_STRUCTURED_REPLY)
            name = counted("disk")
            for data in (
                    b"", name, b"\0\0\0\x7fdisk",
                    name + b"\xff\xff\xff\xff",
                    name + b"\0\0\0\2" + counted("base:"),
                    name + b"\0\0\0\0" + counted("base:"),
                    name + b"\0\0\0\1\0\0\0\6base:",
                    name + b"\0\0\0\1\xff\xff\xff\xffbase:",
                    name + b"\0\0\0\1" + counted("x" * 4097),
                    name + b"\0\0\0\1" + counted("base:") + b"x"):
                self.assertEqual(self.refused(client, option, data),
                                 ERR_INVALID)
            client.info(OPT_GO, "disk")
        self.assert_serving()


if __name__ == "__main__":
    unittest.main()
