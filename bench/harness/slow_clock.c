/* A clock that is as much slower as a program under callgrind is: loaded before the program (LD_PRELOAD).
 *
 * The engine bounds a batch of calls, and decides where calls belong, by the monotonic clock. Under callgrind all work
 * takes some 60 times as long, so each batch would end after one or two calls, while it takes all that wait otherwise.
 * With this clock a turn of the event loop has as many requests as it has on the bare machine. Waits until a time of
 * this clock are as much longer. Timers that are files of the system go on in real time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FACTOR 64
#define SECOND 1000000000LL
/* Times beyond this are never reached; those before the origin are of another clock, or past. */
#define NEVER (1LL << 56)

static long long origin;
static long (*call_system)(long, ...);

static long long nanoseconds(const struct timespec *time) { return time->tv_sec * SECOND + time->tv_nsec; }

static struct timespec of_nanoseconds(long long time) { return (struct timespec){time / SECOND, time % SECOND}; }

__attribute__((constructor)) static void begin(void) {
    struct timespec now;
    call_system = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    call_system(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    origin = nanoseconds(&now);
}

/* The time of the system's clock at which this clock shows `time`. */
static struct timespec in_system(const struct timespec *time) {
    if (!origin || time->tv_sec > NEVER / SECOND || nanoseconds(time) <= origin) return *time;
    return of_nanoseconds(origin + (nanoseconds(time) - origin) * FACTOR);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    if (!call_system) begin();
    int failed = (int)call_system(SYS_clock_gettime, clock, time);
    if (!failed && clock == CLOCK_MONOTONIC) *time = of_nanoseconds(origin + (nanoseconds(time) - origin) / FACTOR);
    return failed;
}

/* Locks of Rust's standard library wait by this call. */
long syscall(long number, ...) {
    long given[6];
    struct timespec until;
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++) given[i] = va_arg(list, long);
    va_end(list);
    if (!call_system) begin();
    long kind = given[1] & (FUTEX_CMD_MASK | FUTEX_CLOCK_REALTIME);
    if (number == SYS_futex && kind == FUTEX_WAIT_BITSET && given[3]) {
        until = in_system((const struct timespec *)given[3]);
        given[3] = (long)&until;
    }
    return call_system(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}

/* Locks of Python wait by these two. Its conditions take times of the monotonic clock, which began with the machine. */
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
    static int (*wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!wait) wait = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    struct timespec at = until->tv_sec < SECOND ? in_system(until) : *until;
    return wait(condition, mutex, &at);
}

int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until) {
    static int (*wait)(sem_t *, clockid_t, const struct timespec *);
    if (!wait) wait = (int (*)(sem_t *, clockid_t, const struct timespec *))dlsym(RTLD_NEXT, "sem_clockwait");
    struct timespec at = clock == CLOCK_MONOTONIC ? in_system(until) : *until;
    return wait(semaphore, clock, &at);
}
