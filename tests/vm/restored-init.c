// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Process 1 of the guest that `restored` and `restored-backup` save and restore.
// It is all of user space there, or starts the rest: QEMU does not save a machine
// that has 9p mounted. It loads modules, and does what a line on the second serial
// port says:
//
//   run COMMAND     in the shell of busybox; its exit code
//   attach DEVICE   answers ERRNO
//   take DEVICE     takes a snapshot, after releasing the one before; ERRNO
//   look DEVICE     GENERATION NUMBER INSTANT TIME MAP IMAGE: of the last take,
//                   the instant in hexadecimal and its time in nanoseconds ("-"
//                   if the module does not tell); what CBTMAP answers, and the
//                   error of the image, as errno
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "uapi/blkfilter.h"
#include "uapi/blksnap.h"

#define PORT "/dev/ttyS1"
#define STORE "/dev/nullb2"
#define STORE_SECTORS (64 << 20 >> 9)

static int control_fd;
static struct blksnap_uuid held;
static int is_held;

static void give_up(const char* what) {
  perror(what);
  sleep(3600);  // the end of process 1 is a panic
}

// Loads what /modules/order lists: a line "NAME PARAMETERS" for each module.
static void load_modules(void) {
  char line[512], path[300];
  FILE* order = fopen("/modules/order", "r");

  if (!order) give_up("/modules/order");
  while (fgets(line, sizeof(line), order)) {
    line[strcspn(line, "\n")] = 0;
    char* parameters = line + strcspn(line, " ");
    if (*parameters) *parameters++ = 0;
    snprintf(path, sizeof(path), "/modules/%.250s", line);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (syscall(SYS_finit_module, fd, parameters, 0)) give_up(path);
    close(fd);
  }
  fclose(order);
}

static int control(unsigned long command, void* argument) {
  return ioctl(control_fd, command, argument) ? errno : 0;
}

static int ask(int fd, unsigned command, void* argument, unsigned length) {
  struct blkfilter_ctl call = {.name = BLKSNAP_FILTER_NAME,
                               .cmd = command,
                               .optlen = length,
                               .opt = (unsigned long)argument};

  return ioctl(fd, BLKFILTER_CTL, &call) ? errno : 0;
}

static int attach(int fd) {
  struct blkfilter_attach call = {.name = BLKSNAP_FILTER_NAME};

  return ioctl(fd, BLKFILTER_ATTACH, &call) ? errno : 0;
}

static int take(int fd) {
  struct blksnap_snapshot_create create = {
      .diff_storage_limit_sect = STORE_SECTORS,
      .diff_storage_filename = (unsigned long)STORE};
  struct blksnap_snapshotadd add;
  int error;

  if (is_held) {
    error = control(BLKSNAP_IOCTL_SNAPSHOT_DESTROY, &held);
    if (error) return error;
    is_held = 0;
  }
  error = control(BLKSNAP_IOCTL_SNAPSHOT_CREATE, &create);
  if (error) return error;
  held = add.id = create.id;
  is_held = 1;
  error = ask(fd, BLKFILTER_CTL_BLKSNAP_SNAPSHOTADD, &add, sizeof(add));
  return error ? error : control(BLKSNAP_IOCTL_SNAPSHOT_TAKE, &held);
}

static void show_instant(int fd, const struct blksnap_cbtinfo* info,
                         FILE* port) {
  static struct blksnap_cbtinstants told;

  if (!info->changes_number ||
      ask(fd, BLKFILTER_CTL_BLKSNAP_CBTINSTANTS, &told, sizeof(told))) {
    fprintf(port, " - -");
  } else if (memcmp(&told.generation_id, &info->generation_id,
                    sizeof(told.generation_id)) ||
             told.changes_number != info->changes_number) {
    fprintf(port, " of-another-take -");
  } else {
    const struct blksnap_instant* last =
        &told.instants[told.changes_number - 1];
    fprintf(port, " %016llx %lld", (unsigned long long)last->id,
            (long long)last->time);
  }
}

static void look(int fd, FILE* port) {
  static char byte;
  struct blksnap_cbtmap map = {.length = 1, .buffer = (unsigned long)&byte};
  struct blksnap_snapshotinfo image = {0};
  struct blksnap_cbtinfo info;
  const int error = ask(fd, BLKFILTER_CTL_BLKSNAP_CBTINFO, &info, sizeof(info));

  if (error) {
    fprintf(port, "CBTINFO: errno %d\n", error);
    return;
  }
  for (unsigned i = 0; i < sizeof(info.generation_id.b); ++i)
    fprintf(port, "%02x", info.generation_id.b[i]);
  fprintf(port, " %d", info.changes_number);
  show_instant(fd, &info, port);
  fprintf(port, " %d",
          ask(fd, BLKFILTER_CTL_BLKSNAP_CBTMAP, &map, sizeof(map)));
  ask(fd, BLKFILTER_CTL_BLKSNAP_SNAPSHOTINFO, &image, sizeof(image));
  fprintf(port, " %d\n", -image.error_code);
}

// Returns the exit code of a command, or 255.
static int run(char* command) {
  char* const words[] = {"sh", "-c", command, NULL};
  char* const environment[] = {"PATH=/bin", NULL};
  int status;
  const pid_t child = fork();

  if (child == 0) {
    execve("/bin/busybox", words, environment);
    _exit(127);
  }
  // Orphans, too, end here.
  for (pid_t ended = 0; ended != child;) {
    ended = wait(&status);
    if (ended < 0) return 255;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static void serve(FILE* requests, FILE* port) {
  char line[1024], device[200], links[] = "/bin/busybox --install -s /bin";

  if (!access("/bin/busybox", X_OK)) run(links);
  while (fgets(line, sizeof(line), requests)) {
    if (!strncmp(line, "run ", 4)) {
      fprintf(port, "%d\n", run(line + 4));
      continue;
    }
    if (sscanf(line, "%*s %199s", device) != 1) continue;
    const int fd = open(device, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
      fprintf(port, "%d\n", errno);
    else if (line[0] == 'a')
      fprintf(port, "%d\n", attach(fd));
    else if (line[0] == 't')
      fprintf(port, "%d\n", take(fd));
    else
      look(fd, port);
    close(fd);
  }
}

int main(void) {
  struct termios raw;
  char byte;

  // Waits until the kernel's generator is ready, as it is on any machine that
  // has been up for a while: until then each of its numbers is of a new seed.
  if (getrandom(&byte, 1, 0) != 1) give_up("getrandom");
  if (mount("dev", "/dev", "devtmpfs", 0, NULL)) give_up("/dev");
  load_modules();
  control_fd = open("/dev/" BLKSNAP_CONTROL_NAME, O_RDWR | O_CLOEXEC);
  if (control_fd < 0) give_up(BLKSNAP_CONTROL_NAME);
  FILE* requests = fopen(PORT, "r");
  FILE* port = fopen(PORT, "w");
  if (!requests || !port || tcgetattr(fileno(port), &raw)) give_up(PORT);
  raw.c_iflag = 0;
  raw.c_oflag = 0;
  raw.c_lflag = 0;
  tcsetattr(fileno(port), TCSANOW, &raw);
  setvbuf(port, NULL, _IOLBF, 0);
  fprintf(port, "ready\n");
  serve(requests, port);
  give_up(PORT);
}
