// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A plugin for QEMU's emulation (docs/devel/tcg-plugins.rst): finds the cache lines
 * that more than one processor writes in the guest's kernel, and who writes them,
 * between two marks ("xchg %bx, %bx"; see writer.c). At its end it writes a line
 * "PHASE ADDRESS CACHE-LINE TIMES" to the file out=PATH for each instruction that
 * wrote to one. PHASE counts the pairs of marks, from 1.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "plugin.h"

#define LINE 64
#define KERNEL 0xffff800000000000ULL
#define SLOTS (1U << 22)

/* Stores of one instruction to one line. Open addressing; address 0 is free. */
struct store {
	uint64_t address;
	uint64_t line;
	uint32_t phase;
	uint32_t cpus; /* a bit each */
	uint64_t times;
};

static struct store *stores;
static uint32_t used;
static uint32_t phase;
static bool counting;
static const char *out;

static uint32_t hash(uint64_t address, uint64_t line)
{
	return (address * 0x9e3779b97f4a7c15ULL ^ (line + phase) * 0xc2b2ae3d27d4eb4fULL) >> 42;
}

/* Processors take turns in one thread (tcg-single), so nothing is locked. */
static void stores_to(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
	uint64_t line = address / LINE * LINE, from = (uintptr_t)data;

	/* QEMU 7.2 reports loads too, although only writes were asked for. */
	if (!counting || !qemu_plugin_mem_is_store(info))
		return;
	for (uint32_t i = hash(from, line);; i = (i + 1) % SLOTS) {
		struct store *store = &stores[i];

		if (!store->address) {
			if (++used == SLOTS) {
				fputs("stores: too many stores\n", stderr);
				abort();
			}
			store->address = from;
			store->line = line;
			store->phase = phase;
		} else if (store->address != from || store->line != line ||
			   store->phase != phase) {
			continue;
		}
		store->cpus |= 1U << cpu;
		store->times++;
		return;
	}
}

static void is_marked(unsigned int cpu, void *data)
{
	(void)cpu;
	(void)data;
	counting = !counting;
	phase += counting;
}

static void block_is_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t address = qemu_plugin_insn_vaddr(insn);

		if (address >= KERNEL)
			qemu_plugin_register_vcpu_mem_cb(insn, stores_to, 0, QEMU_PLUGIN_MEM_W,
							 (void *)(uintptr_t)address);
		else if (is_mark(insn))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, is_marked, 0, NULL);
	}
}

static int by_line(const void *a, const void *b)
{
	const struct store *one = a, *other = b;

	if (one->phase != other->phase)
		return one->phase < other->phase ? -1 : 1;
	return one->line < other->line ? -1 : one->line > other->line;
}

static void the_end(qemu_plugin_id_t id, void *data)
{
	FILE *file = fopen(out, "w");
	uint32_t count = 0;

	(void)id;
	(void)data;
	if (!file) {
		perror(out);
		return;
	}
	for (uint32_t i = 0; i < SLOTS; i++)
		if (stores[i].address)
			stores[count++] = stores[i];
	qsort(stores, count, sizeof(*stores), by_line);
	for (uint32_t first = 0, next; first < count; first = next) {
		uint32_t cpus = 0;

		for (next = first; next < count && !by_line(&stores[first], &stores[next]); next++)
			cpus |= stores[next].cpus;
		if (!(cpus & (cpus - 1)))
			continue;
		for (uint32_t i = first; i < next; i++)
			fprintf(file, "%" PRIu32 " %" PRIx64 " %" PRIx64 " %" PRIu64 "\n",
				stores[i].phase, stores[i].address, stores[i].line,
				stores[i].times);
	}
	fclose(file);
}

__attribute__((visibility("default"))) int
qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	(void)info;
	out = out_path(argc, argv);
	stores = calloc(SLOTS, sizeof(*stores));
	if (!out || !stores)
		return 1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, block_is_translated);
	qemu_plugin_register_atexit_cb(id, the_end, NULL);
	return 0;
}
