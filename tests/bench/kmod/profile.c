// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A plugin for QEMU's emulation (docs/devel/tcg-plugins.rst): counts the
 * instructions that the guest executes, by the address of their block, between
 * two marks ("xchg %bx, %bx", which does nothing else; see writer.c). At its
 * end it writes lines "ADDRESS INSTRUCTIONS" to the file out=PATH.
 *
 * Exact, and without a word to the guest: a sampling profiler would see its own
 * interrupts, and nothing of what runs with interrupts off.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "plugin.h"

/* A block as it was translated; it lives until the end. */
struct block {
	struct block *next;
	uint64_t address;
	uint64_t instructions;
	uint64_t times;
	bool marks;
};

static struct block *blocks;
static bool counting;
static const char *out;

/* One processor: its thread is the only one here. */
static void block_runs(unsigned int cpu, void *data)
{
	struct block *block = data;

	(void)cpu;
	if (block->marks)
		counting = !counting;
	else if (counting)
		block->times++;
}

static bool has_mark(const struct qemu_plugin_tb *tb)
{
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++)
		if (is_mark(qemu_plugin_tb_get_insn(tb, i)))
			return true;
	return false;
}

static void block_is_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	struct block *block = calloc(1, sizeof(*block));

	(void)id;
	if (!block)
		abort();
	block->address = qemu_plugin_tb_vaddr(tb);
	block->instructions = qemu_plugin_tb_n_insns(tb);
	block->marks = has_mark(tb);
	block->next = blocks;
	blocks = block;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, block_runs, 0, block);
}

static void the_end(qemu_plugin_id_t id, void *data)
{
	FILE *file = fopen(out, "w");

	(void)id;
	(void)data;
	if (!file) {
		perror(out);
		return;
	}
	for (struct block *block = blocks; block; block = block->next)
		if (block->times)
			fprintf(file, "%" PRIx64 " %" PRIu64 "\n", block->address,
				block->times * block->instructions);
	fclose(file);
}

__attribute__((visibility("default"))) int
qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	(void)info;
	out = out_path(argc, argv);
	if (!out)
		return 1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, block_is_translated);
	qemu_plugin_register_atexit_cb(id, the_end, NULL);
	return 0;
}
