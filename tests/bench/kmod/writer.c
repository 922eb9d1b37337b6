// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Writes a device with O_DIRECT, in blocks, and prints the nanoseconds that one
 * write took on average. Where a clock counts instructions (QEMU's icount),
 * that is instructions.
 *
 * writer DEVICE BLOCK COUNT random|sequential SEED [read]
 *
 * With BENCH_MARK in the environment, the part that is measured begins and ends
 * with a mark for profile.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "writer: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void mark(void)
{
	if (getenv("BENCH_MARK"))
		__asm__ volatile("xchg %bx, %bx");
}

int main(int argc, char **argv)
{
	if (argc != 6 && argc != 7) {
		fprintf(stderr, "usage: writer DEVICE BLOCK COUNT random|sequential SEED [read]\n");
		return 2;
	}
	size_t block = strtoull(argv[2], NULL, 0);
	unsigned long count = strtoul(argv[3], NULL, 0);
	int sequential = !strcmp(argv[4], "sequential");
	uint64_t state = strtoull(argv[5], NULL, 0) | 1;
	int reads = argc == 7;
	int fd = open(argv[1], O_RDWR | O_DIRECT);

	if (fd < 0)
		die(argv[1]);
	uint64_t blocks = lseek(fd, 0, SEEK_END) / block;
	void *data;

	if (posix_memalign(&data, 4096, block))
		die("memory");
	memset(data, 0xa5, block);

	/* A random walk that meets no block twice: odd steps in a power of two. */
	uint64_t at = state % blocks, step = (state >> 7) | 1;

	mark();
	uint64_t begin = now();

	for (unsigned long i = 0; i < count; i++) {
		uint64_t n = sequential ? i % blocks : at % blocks;
		ssize_t done = reads ? pread(fd, data, block, n * block) :
				       pwrite(fd, data, block, n * block);

		if (done != (ssize_t)block)
			die(reads ? "read" : "write");
		at += step;
	}
	uint64_t end = now();

	mark();
	printf("%.0f\n", (double)(end - begin) / count);
	return 0;
}
