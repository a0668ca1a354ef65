/* Preloaded into the processes of a deployment: moves their wall clock, and slows the files of the store.
 *
 * CHAOS_SHIM names a file of two 64-bit numbers that the tests change while the processes run: nanoseconds that are
 * added to the wall clock, and milliseconds that each operation on a file of the store takes longer. CHAOS_STORE is the
 * folder of the store. As when an administrator sets the clock of a machine, the monotonic clock does not change.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct state { volatile int64_t offset_ns, delay_ms; };
static const struct state none, *state = &none;
static const char *store;

/* The function of the C library that NAME hides. */
#define NEXT(name) ({ static __typeof__(&name) next; if (!next) next = dlsym(RTLD_NEXT, #name); next; })

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CHAOS_SHIM"), *folder = getenv("CHAOS_STORE");
    int file = path && folder ? NEXT(open)(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, file, 0);
    store = strdup(folder); /* Redis and Postgres write over their environment. */
    if (mapped != MAP_FAILED) state = mapped;
    close(file);
}

static struct timespec moved(struct timespec time, int64_t by_ns) {
    int64_t ns = time.tv_sec * 1000000000 + time.tv_nsec + by_ns;
    return (struct timespec){ns / 1000000000, ns % 1000000000};
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = NEXT(clock_gettime)(clock, time);
    if (state->offset_ns && result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        *time = moved(*time, state->offset_ns);
    return result;
}
int gettimeofday(struct timeval *time, __attribute__((unused)) void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *time = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}
time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return result ? (*result = now.tv_sec) : now.tv_sec;
}
/* Waits until a time of the wall clock, which the kernel does not know to have moved. */
int sem_timedwait(sem_t *semaphore, const struct timespec *until) {
    struct timespec kernels = moved(*until, -state->offset_ns);
    return NEXT(sem_timedwait)(semaphore, &kernels);
}

static void wait_for_store(const char *path) {
    if (strncmp(path, store, strlen(store)) != 0) return;
    struct timespec left = {state->delay_ms / 1000, state->delay_ms % 1000 * 1000000};
    int saved = errno;
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR);
    errno = saved;
}

static int slowed(int file) {
    char link[32], path[4096];
    if (!state->delay_ms || file < 0) return file;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    wait_for_store(path);
    return file;
}

#define OPEN(name, parameters, ...) int name parameters { \
        va_list rest; va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; va_end(rest); \
        return slowed(NEXT(name)(__VA_ARGS__, flags, mode)); }
OPEN(open, (const char *path, int flags, ...), path)
OPEN(open64, (const char *path, int flags, ...), path)
OPEN(openat, (int folder, const char *path, int flags, ...), folder, path)
OPEN(openat64, (int folder, const char *path, int flags, ...), folder, path)
ssize_t read(int file, void *buffer, size_t size) { return NEXT(read)(slowed(file), buffer, size); }
ssize_t write(int file, const void *buffer, size_t size) { return NEXT(write)(slowed(file), buffer, size); }
int fsync(int file) { return NEXT(fsync)(slowed(file)); }
int rename(const char *from, const char *to) {
    if (state->delay_ms) wait_for_store(to);
    return NEXT(rename)(from, to);
}
