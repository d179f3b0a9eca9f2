/* Loaded into one process of Salus with LD_PRELOAD: makes its writes and syncs of regular files
 * fail while the first byte of the file named by SALUS_TORTURE_DISK says so. What goes past the C
 * library (io_uring, direct system calls) is not touched; the syncs that make it durable are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Shared with whoever gives the trouble; see trouble.rs. */
struct control {
    uint32_t mode;   /* one of the modes below */
    uint32_t skip;   /* calls that still succeed */
    uint32_t hits;   /* calls that were failed */
    uint32_t loaded; /* set here, so that the other side knows that it is heard */
};

enum { QUIET = 0, ONE_SYNC = 1, ALL = 2, NO_ROOM = 3 };

static struct control *control;

__attribute__((constructor)) static void open_control(void)
{
    const char *path = getenv("SALUS_TORTURE_DISK");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *page = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (page == MAP_FAILED)
        return;
    control = page;
    __atomic_store_n(&control->loaded, 1, __ATOMIC_SEQ_CST);
}

/* Standard input, output and error are nobody's data. */
static int is_data(int file)
{
    struct stat about;
    return file > 2 && fstat(file, &about) == 0 && (S_ISREG(about.st_mode) || S_ISDIR(about.st_mode));
}

static int hit(int error)
{
    __atomic_add_fetch(&control->hits, 1, __ATOMIC_SEQ_CST);
    errno = error;
    return 1;
}

/* Whether one more call is let through. */
static int skipped(void)
{
    uint32_t left = __atomic_load_n(&control->skip, __ATOMIC_SEQ_CST);
    while (left > 0)
        if (__atomic_compare_exchange_n(&control->skip, &left, left - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return 1;
    return 0;
}

static uint32_t mode(int file)
{
    uint32_t now = control ? __atomic_load_n(&control->mode, __ATOMIC_SEQ_CST) : QUIET;
    return now != QUIET && is_data(file) ? now : QUIET;
}

static int write_fails(int file)
{
    uint32_t now = mode(file);
    if ((now != ALL && now != NO_ROOM) || skipped())
        return 0;
    return hit(now == ALL ? EIO : ENOSPC);
}

static int sync_fails(int file)
{
    uint32_t now = mode(file);
    if ((now != ALL && now != ONE_SYNC) || skipped())
        return 0;
    /* The next sync succeeds again, as the kernel's does, and would lie. */
    uint32_t once = ONE_SYNC;
    if (now == ONE_SYNC
        && !__atomic_compare_exchange_n(&control->mode, &once, QUIET, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return 0;
    return hit(EIO);
}

#define PASS_ON(result, name, takes, gives, fails)                                                       \
    result name takes                                                                                    \
    {                                                                                                    \
        static result (*real) takes;                                                                     \
        if (!real)                                                                                       \
            real = (result (*) takes)dlsym(RTLD_NEXT, #name);                                            \
        if (fails)                                                                                       \
            return -1;                                                                                   \
        return real gives;                                                                               \
    }

#define IOV int file, const struct iovec *parts, int count
PASS_ON(ssize_t, write, (int file, const void *bytes, size_t count), (file, bytes, count), write_fails(file))
PASS_ON(ssize_t, pwrite, (int file, const void *bytes, size_t count, off_t at), (file, bytes, count, at),
        write_fails(file))
PASS_ON(ssize_t, pwrite64, (int file, const void *bytes, size_t count, off64_t at), (file, bytes, count, at),
        write_fails(file))
PASS_ON(ssize_t, writev, (IOV), (file, parts, count), write_fails(file))
PASS_ON(ssize_t, pwritev, (IOV, off_t at), (file, parts, count, at), write_fails(file))
PASS_ON(ssize_t, pwritev64, (IOV, off64_t at), (file, parts, count, at), write_fails(file))
PASS_ON(ssize_t, pwritev2, (IOV, off_t at, int flags), (file, parts, count, at, flags), write_fails(file))
PASS_ON(ssize_t, pwritev64v2, (IOV, off64_t at, int flags), (file, parts, count, at, flags), write_fails(file))
PASS_ON(int, fsync, (int file), (file), sync_fails(file))
PASS_ON(int, fdatasync, (int file), (file), sync_fails(file))
