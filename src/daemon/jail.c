#include "daemon/jail.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

bool jail_is_wanted(void)
{
#if IS_SANITIZED || defined(DEJUNK_JAIL_RELAXABLE)
    const char *says = getenv("DEJUNK_JAIL");

    if (says)
        return strcmp(says, "on") == 0;
    return !IS_SANITIZED;
#else
    return true;
#endif
}

/* ---- seccomp ---- */

#define CALL(name) SCMP_SYS(name)

/* Allowed with any arguments; the kernel knows these by a bitmap and spends no time on them. */
static const int worker_calls[] = {
    // bytes in and out, of descriptors that are open
    CALL(read),
    CALL(readv),
    CALL(write),
    CALL(writev),
    CALL(pread64),
    CALL(preadv),
    CALL(recvfrom),
    CALL(recvmsg),
    CALL(recvmmsg),
    CALL(sendto),
    CALL(sendmsg),
    CALL(sendmmsg),
    CALL(splice),
    CALL(tee),
    CALL(pipe2),
    CALL(lseek),
    CALL(fcntl),
    CALL(close),
    CALL(close_range),
    CALL(dup),
    CALL(fstat),
    CALL(shutdown),
    // connections
    CALL(accept4),
    CALL(connect),
    CALL(getsockname),
    CALL(getpeername),
    CALL(getsockopt),
    CALL(setsockopt),
    // waiting
    CALL(epoll_create1),
    CALL(epoll_ctl),
    CALL(epoll_wait),
    CALL(epoll_pwait),
    CALL(epoll_pwait2),
    CALL(poll),
    CALL(ppoll),
    CALL(select),
    CALL(pselect6),
    CALL(eventfd2),
    CALL(timerfd_create),
    CALL(timerfd_settime),
    CALL(timerfd_gettime),
    CALL(nanosleep),
    CALL(clock_nanosleep),
    CALL(restart_syscall),
    // memory
    CALL(mmap),
    CALL(munmap),
    CALL(mremap),
    CALL(mprotect),
    CALL(madvise),
    CALL(brk),
    CALL(memfd_create),
    CALL(mlock),
    CALL(munlock),
    CALL(membarrier),
    // time, chance, oneself
    CALL(clock_gettime),
    CALL(clock_getres),
    CALL(gettimeofday),
    CALL(time),
    CALL(getrandom),
    CALL(getpid),
    CALL(gettid),
    CALL(getppid),
    CALL(getuid),
    CALL(geteuid),
    CALL(getgid),
    CALL(getegid),
    CALL(getrusage),
    CALL(times),
    CALL(uname),
    CALL(sysinfo),
    CALL(getcpu),
    CALL(sched_getaffinity),
    CALL(sched_yield),
    // threads (made by clone with CLONE_THREAD) and signals to oneself
    CALL(futex),
    CALL(set_robust_list),
    CALL(set_tid_address),
    CALL(rseq),
    CALL(rt_sigaction),
    CALL(rt_sigprocmask),
    CALL(rt_sigreturn),
    CALL(sigaltstack),
    CALL(exit),
    CALL(exit_group),
};

/* The signer talks on what it is given and makes nothing new. */
static const int signer_calls[] = {
    CALL(read),
    CALL(write),
    CALL(writev),
    CALL(recvfrom),
    CALL(recvmsg),
    CALL(sendto),
    CALL(sendmsg),
    CALL(fcntl),
    CALL(close),
    CALL(fstat),
    CALL(lseek),
    CALL(epoll_ctl),
    CALL(epoll_wait),
    CALL(epoll_pwait),
    CALL(epoll_pwait2),
    CALL(poll),
    CALL(ppoll),
    CALL(timerfd_settime),
    CALL(restart_syscall),
    CALL(munmap),
    CALL(mremap),
    CALL(madvise),
    CALL(brk),
    CALL(mlock),
    CALL(munlock),
    CALL(clock_gettime),
    CALL(clock_getres),
    CALL(gettimeofday),
    CALL(time),
    CALL(getrandom),
    CALL(getpid),
    CALL(gettid),
    CALL(getppid),
    CALL(futex),
    CALL(rt_sigaction),
    CALL(rt_sigprocmask),
    CALL(rt_sigreturn),
    CALL(exit),
    CALL(exit_group),
};

/* Admin talks with workers and people over unix sockets, keeps its files, and reads /proc. */
static const int admin_calls[] = {
    CALL(readv),
    CALL(pread64),
    CALL(accept4),
    CALL(bind),
    CALL(listen),
    CALL(getsockname),
    CALL(getpeername),
    CALL(getsockopt),
    CALL(setsockopt),
    CALL(shutdown),
    CALL(dup),
    CALL(epoll_create1),
    CALL(eventfd2),
    CALL(timerfd_create),
    CALL(timerfd_gettime),
    CALL(nanosleep),
    CALL(clock_nanosleep),
    CALL(memfd_create),
    CALL(ftruncate),
    CALL(open),
    CALL(openat),
    CALL(stat),
    CALL(lstat),
    CALL(newfstatat),
    CALL(access),
    CALL(faccessat),
    CALL(faccessat2),
    CALL(getdents64),
    CALL(fsync),
    CALL(fdatasync),
    CALL(rename),
    CALL(renameat),
    CALL(renameat2),
    CALL(unlink),
    CALL(unlinkat),
    CALL(mkdir),
    CALL(mkdirat),
    CALL(umask),
    CALL(getuid),
    CALL(geteuid),
    CALL(getgid),
    CALL(getegid),
    CALL(sched_yield),
    CALL(rseq),
    CALL(set_robust_list),
    CALL(sigaltstack),
};

/* These fail as if the file were not there; c-ares and OpenSSL then do without it. */
static const int file_calls[] = {
    CALL(open),  CALL(openat), CALL(openat2),   CALL(creat),      CALL(stat),     CALL(lstat),
    CALL(statx), CALL(access), CALL(faccessat), CALL(faccessat2), CALL(readlink), CALL(readlinkat),
};

/* These have a meaning, and it is no. Whatever is in no table fails with ENOSYS. */
static const int refused_calls[] = {
    CALL(execve),
    CALL(execveat),
    CALL(fork),
    CALL(vfork),
    CALL(ptrace),
    CALL(process_vm_readv),
    CALL(process_vm_writev),
    CALL(pidfd_getfd),
    CALL(pidfd_open),
    CALL(kill),
    CALL(tkill),
    CALL(bind),
    CALL(listen),
    CALL(accept),
    CALL(unlink),
    CALL(unlinkat),
    CALL(rename),
    CALL(renameat),
    CALL(renameat2),
    CALL(mkdir),
    CALL(mkdirat),
    CALL(chmod),
    CALL(fchmod),
    CALL(fchmodat),
    CALL(chown),
    CALL(fchown),
    CALL(fchownat),
    CALL(link),
    CALL(linkat),
    CALL(symlink),
    CALL(symlinkat),
    CALL(truncate),
    CALL(ftruncate),
    CALL(chdir),
    CALL(fchdir),
    CALL(chroot),
    CALL(mount),
    CALL(umount2),
    CALL(unshare),
    CALL(setns),
    CALL(bpf),
    CALL(perf_event_open),
    CALL(userfaultfd),
    CALL(keyctl),
    CALL(add_key),
    CALL(request_key),
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
    int code = 0;

    for (size_t i = 0; i < count && code == 0; i++)
        code = seccomp_rule_add(filter, action, calls[i], 0);
    return code;
}

static bool is_allowed(enum jail_kind kind, int call)
{
    for (size_t i = 0; kind == JAIL_ADMIN && i < COUNT(admin_calls); i++)
        if (admin_calls[i] == call)
            return true;
    return false;
}

/* But for what is allowed to this kind. */
static int refuse_all(scmp_filter_ctx filter, enum jail_kind kind, int errno_of, const int *calls,
                      size_t count)
{
    int code = 0;

    for (size_t i = 0; i < count && code == 0; i++)
        if (!is_allowed(kind, calls[i]))
            code = seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)errno_of), calls[i], 0);
    return code;
}

/* Conditions on an argument. */
static struct scmp_arg_cmp compared(unsigned argument, enum scmp_compare how, uint64_t value)
{
    return (struct scmp_arg_cmp){ argument, how, value, 0 };
}

static struct scmp_arg_cmp equal(unsigned argument, uint64_t value)
{
    return compared(argument, SCMP_CMP_EQ, value);
}

static struct scmp_arg_cmp masked(unsigned argument, uint64_t mask, uint64_t value)
{
    return (struct scmp_arg_cmp){ argument, SCMP_CMP_MASKED_EQ, mask, value };
}

/* New sockets: TCP and UDP over IPv4 and IPv6, and pairs of unix streams (which cannot be
 * connected elsewhere, as datagram ones could). */
static int add_sockets(scmp_filter_ctx filter)
{
    static const int families[] = { AF_INET, AF_INET6 };
    static const int types[] = { SOCK_STREAM, SOCK_DGRAM };
    const uint64_t type_mask = ~(uint64_t)(SOCK_CLOEXEC | SOCK_NONBLOCK);
    int code = 0;

    for (size_t f = 0; f < COUNT(families); f++)
        for (size_t t = 0; t < COUNT(types) && code == 0; t++)
            code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(socket), 2,
                                    equal(0, (uint64_t)families[f]),
                                    masked(1, type_mask, (uint64_t)types[t]));
    if (code == 0)
        code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), CALL(socket), 1,
                                compared(0, SCMP_CMP_GT, AF_INET6));
    if (code == 0)
        code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), CALL(socket), 1,
                                compared(0, SCMP_CMP_LT, AF_INET));
    if (code == 0)
        code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(socketpair), 2, equal(0, AF_UNIX),
                                masked(1, type_mask, SOCK_STREAM));
    return code;
}

/* Calls that are harmless with some arguments only. */
static int add_with_arguments(scmp_filter_ctx filter)
{
    const uint64_t self = (uint64_t)getpid();
    int code = 0;

#define ALLOW_IF(call, ...)                                                                        \
    if (code == 0)                                                                                 \
    code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(call), 1, __VA_ARGS__)

    // a thread, which shares our memory and our jail; clone3's flags are out of a filter's sight,
    // glibc takes clone when clone3 fails with ENOSYS (the default)
    ALLOW_IF(clone, masked(0, CLONE_THREAD, CLONE_THREAD));
    ALLOW_IF(tgkill, equal(0, self)); // abort()
    ALLOW_IF(prctl, equal(0, PR_SET_NAME));
    ALLOW_IF(ioctl, equal(1, FIONREAD));
    ALLOW_IF(ioctl, equal(1, FIONBIO));
    ALLOW_IF(prlimit64, equal(2, 0)); // reading limits, not setting them
    // glibc's fstat(): the descriptor itself, by an empty path. A filter cannot see that the path
    // is empty; with another one it tells a file's size and time, and opens nothing.
    ALLOW_IF(newfstatat, masked(3, AT_EMPTY_PATH, AT_EMPTY_PATH));
#undef ALLOW_IF
    if (code == 0)
        code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOENT), CALL(newfstatat), 1,
                                masked(3, AT_EMPTY_PATH, 0));
    if (code == 0)
        code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), CALL(clone), 1,
                                masked(0, CLONE_THREAD, 0));
    return code;
}

static int add_for_admin(scmp_filter_ctx filter)
{
    int code = add_all(filter, SCMP_ACT_ALLOW, admin_calls, COUNT(admin_calls));

    if (code == 0)
        code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(socket), 1, equal(0, AF_UNIX));
    if (code == 0)
        code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(socketpair), 1, equal(0, AF_UNIX));
    if (code == 0)
        code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(ioctl), 1, equal(1, FIONREAD));
    if (code == 0) // reading limits, not setting them
        code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(prlimit64), 1, equal(2, 0));
    return code;
}

/* Memory, but none that could run code. */
static int add_without_code(scmp_filter_ctx filter, enum jail_kind kind)
{
    const uint64_t self = (uint64_t)getpid();
    int code = 0;

    if (code == 0)
        code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(mmap), 1, masked(2, PROT_EXEC, 0));
    if (code == 0)
        code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(mprotect), 1, masked(2, PROT_EXEC, 0));
    if (code == 0)
        code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(tgkill), 1, equal(0, self)); // abort()
    if (code == 0 && kind != JAIL_ADMIN) // glibc's fstat(); see above
        code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(newfstatat), 1,
                                masked(3, AT_EMPTY_PATH, AT_EMPTY_PATH));
    return code;
}

static enum error_kind filter_calls(enum jail_kind kind, struct error *error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int code;

    if (!filter)
        return error_set(error, ERROR_SYSTEM, "no seccomp filter");
    code = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); // a tree, not a row
    if (code == 0)
        code = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1); // threads there are already
    if (code == 0)
        code = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (code == 0 && kind == JAIL_WORKER)
        code = add_all(filter, SCMP_ACT_ALLOW, worker_calls, COUNT(worker_calls));
    if (code == 0 && kind != JAIL_WORKER)
        code = add_all(filter, SCMP_ACT_ALLOW, signer_calls, COUNT(signer_calls));
    if (code == 0 && kind == JAIL_ADMIN)
        code = add_for_admin(filter);
    if (code == 0)
        code = refuse_all(filter, kind, ENOENT, file_calls, COUNT(file_calls));
    if (code == 0)
        code = refuse_all(filter, kind, EPERM, refused_calls, COUNT(refused_calls));
    if (code == 0 && kind == JAIL_WORKER)
        code = add_sockets(filter);
    if (code == 0)
        code = kind == JAIL_WORKER ? add_with_arguments(filter) : add_without_code(filter, kind);
    if (code == 0)
        code = seccomp_load(filter);
    seccomp_release(filter);
    errno = -code;
    return code == 0 ? ERROR_NONE
                     : error_errno(error, ERROR_SYSTEM, "the system calls cannot be filtered");
}

/* ---- Landlock ---- */

/* Debian's headers end before some of these; the kernel says by its version what it knows. */
struct landlock_rules {
    uint64_t files;
    uint64_t ports;
    uint64_t scoped;
};

enum {
    FILE_RIGHTS_1 = 13, // execute ... make_sym
    SYS_CREATE_RULESET = 444,
    SYS_ADD_RULE = 445,
    SYS_RESTRICT_SELF = 446,
};

static long landlock_version(void)
{
    return syscall(SYS_CREATE_RULESET, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static uint64_t bits(unsigned count)
{
    return ((uint64_t)1 << count) - 1;
}

/* What `use` needs, of the rights that a ruleset handles. */
static uint64_t rights_of(const struct jail_place *place)
{
    const uint64_t read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;

    switch (place->use) {
    case JAIL_READ:
        return read;
    case JAIL_KEEP:
        return read | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |
               LANDLOCK_ACCESS_FS_MAKE_REG | (uint64_t)1 << 14;
    case JAIL_SOCKETS:
        return LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
               LANDLOCK_ACCESS_FS_MAKE_SOCK;
    }
    return 0;
}

static bool allow_place(int rules_fd, const struct jail_place *place, uint64_t handled)
{
    struct landlock_path_beneath_attr beneath = {
        .allowed_access = rights_of(place) & handled,
        .parent_fd = open(place->path, O_PATH | O_DIRECTORY | O_CLOEXEC),
    };
    bool is_good;

    if (beneath.parent_fd < 0)
        return true;
    is_good = syscall(SYS_ADD_RULE, rules_fd, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0;
    close(beneath.parent_fd);
    return is_good;
}

static enum error_kind deny_files(enum jail_kind kind, const struct jail_place *places,
                                  size_t count, struct error *error)
{
    long version = landlock_version(), rules_fd, code;
    struct landlock_rules rules = { .files = bits(FILE_RIGHTS_1) };
    size_t size = sizeof rules.files;

    if (version <= 0)
        return ERROR_NONE; // not in this kernel, or switched off; seccomp stands alone
    if (version >= 2)
        rules.files |= (uint64_t)1 << 13; // refer
    if (version >= 3)
        rules.files |= (uint64_t)1 << 14; // truncate
    if (version >= 4) {
        rules.ports = kind == JAIL_WORKER ? 1 : bits(2); // bind; connecting is for workers
        size = offsetof(struct landlock_rules, scoped);
    }
    if (version >= 5)
        rules.files |= (uint64_t)1 << 15; // ioctl on devices
    if (version >= 6) {
        rules.scoped = bits(2); // abstract unix sockets, signals
        size = sizeof rules;
    }
    rules_fd = syscall(SYS_CREATE_RULESET, &rules, size, 0);
    if (rules_fd < 0)
        return error_errno(error, ERROR_SYSTEM, "Landlock takes no rules");
    code = 0;
    for (size_t i = 0; i < count && code == 0; i++)
        code = allow_place((int)rules_fd, &places[i], rules.files) ? 0 : -1;
    if (code == 0)
        code = syscall(SYS_RESTRICT_SELF, (int)rules_fd, 0);
    if (code < 0)
        error_errno(error, ERROR_SYSTEM, "Landlock does not hold");
    close((int)rules_fd);
    return code < 0 ? ERROR_SYSTEM : ERROR_NONE;
}

/* ---- both, and the small ones ---- */

static enum error_kind enter(enum jail_kind kind, const struct jail_place *places, size_t count,
                             struct error *error)
{
    const struct rlimit no_core = { 0, 0 };
    enum error_kind failed;

    assert(kind < JAIL_KINDS);
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0)
        return error_errno(error, ERROR_SYSTEM, "core dumps cannot be forbidden");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_errno(error, ERROR_SYSTEM, "new privileges cannot be forbidden");
    failed = deny_files(kind, places, count, error);
    if (failed == ERROR_NONE)
        failed = filter_calls(kind, error);
    return failed;
}

enum error_kind jail_enter(enum jail_kind kind, struct error *error)
{
    return enter(kind, NULL, 0, error);
}

enum error_kind jail_enter_with(const struct jail_place *places, size_t count, struct error *error)
{
    return enter(JAIL_ADMIN, places, count, error);
}
