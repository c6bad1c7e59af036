/* From inside the jail: what is forbidden fails and changes nothing, what a worker needs works. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/jail.h"

/* Each returns 0, or the errno it failed with. */
static int result(long value)
{
    return value < 0 ? errno : 0;
}

static int parent; // of the jailed process
static int listener, channel;

static int try_open(void)
{
    return result(open("/etc/passwd", O_RDONLY));
}
static int try_open_nothing(void)
{
    return result(open("/", O_PATH));
}
static int try_create(void)
{
    return result(open("/tmp/dejunk-jail", O_CREAT | O_WRONLY, 0600));
}
static int try_openat2(void)
{
    uint64_t how[3] = { O_RDONLY };
    return result(syscall(437, AT_FDCWD, "/etc/passwd", how, sizeof how));
}
static int try_stat(void)
{
    struct stat about;
    return result(stat("/etc/passwd", &about));
}
static int try_access(void)
{
    return result(access("/etc/passwd", R_OK));
}
static int try_unlink(void)
{
    return result(unlink("/tmp/dejunk-jail-nothing"));
}
static int try_exec(void)
{
    char *const arguments[] = { (char[]){ "true" }, NULL };
    return result(execv("/bin/true", arguments));
}
static int try_fork(void)
{
    return result(syscall(SYS_fork));
}
static int try_clone(void)
{
    return result(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}
static int try_ptrace(void)
{
    return result(ptrace(PTRACE_ATTACH, parent, NULL, NULL));
}
static int try_ptrace_me(void)
{
    return result(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}
static int try_kill(void)
{
    return result(kill(parent, 0));
}
static int try_tgkill(void)
{
    return result(syscall(SYS_tgkill, parent, parent, 0));
}
static int try_unix(void)
{
    return result(socket(AF_UNIX, SOCK_STREAM, 0));
}
static int try_netlink(void)
{
    return result(socket(AF_NETLINK, SOCK_RAW, 0));
}
static int try_packet(void)
{
    return result(socket(AF_PACKET, SOCK_RAW, 0));
}
static int try_raw(void)
{
    return result(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}
static int try_datagram_pair(void)
{
    int ends[2];
    return result(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
}
static int try_bind(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return result(bind(fd, (struct sockaddr *)&at, sizeof at));
}
static int try_listen(void)
{
    return result(listen(socket(AF_INET, SOCK_STREAM, 0), 1));
}
static int try_dumpable(void)
{
    return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}
static int try_limit(void)
{
    struct rlimit limit = { 1, 1 };
    return result(setrlimit(RLIMIT_NOFILE, &limit));
}
static int try_mount(void)
{
    return result(syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL));
}
static int try_unshare(void)
{
    return result(syscall(SYS_unshare, 0x10000000));
}
static int try_uring(void)
{
    return result(syscall(425, 1, NULL));
}
static int try_unknown(void)
{
    return result(syscall(4000));
}
static int try_vm_read(void)
{
    return result(syscall(SYS_process_vm_readv, parent, NULL, 0, NULL, 0, 0));
}
static int try_terminal(void)
{
    return result(syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x"));
}

static int try_tcp(void)
{
    return result(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}
static int try_tcp6(void)
{
    return result(socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP));
}
static int try_udp(void)
{
    return result(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}
static int try_pair(void)
{
    int ends[2];
    return result(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends));
}
static int try_accept_and_splice(void)
{
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    int ends[2], to = socket(AF_INET, SOCK_STREAM, 0), from, pipes[2];
    char byte = 0;

    if (getsockname(listener, (struct sockaddr *)&at, &size) < 0 ||
        connect(to, (struct sockaddr *)&at, size) < 0)
        return errno;
    from = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (from < 0 || write(to, "x", 1) != 1 || pipe2(pipes, O_NONBLOCK) < 0)
        return errno;
    poll(&(struct pollfd){ .fd = from, .events = POLLIN }, 1, 1000);
    if (splice(from, NULL, pipes[1], NULL, 1, SPLICE_F_MOVE) != 1 ||
        read(pipes[0], &byte, 1) != 1 || byte != 'x')
        return errno;
    return result(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
}
static int try_epoll(void)
{
    struct epoll_event event = { .events = EPOLLIN };
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return result(
        epoll_ctl(fd, EPOLL_CTL_ADD, listener, &event) < 0 ? -1 : epoll_wait(fd, &event, 1, 0));
}
static int try_memory(void)
{
    char *at = malloc(64 * 1024 * 1024);
    if (!at)
        return errno;
    memset(at, 1, 64 * 1024 * 1024);
    free(at);
    return 0;
}
static int try_fstat(void)
{
    struct stat about;
    return result(fstat(channel, &about));
}
static void *in_thread(void *argument)
{
    *(int *)argument = open("/etc/passwd", O_RDONLY);
    return NULL;
}
static int try_thread(void)
{
    pthread_t thread;
    int got = 0, code = pthread_create(&thread, NULL, in_thread, &got);

    if (code != 0)
        return code;
    pthread_join(thread, NULL);
    return got < 0 ? 0 : EBADMSG; // the thread is in the jail, too
}
static int try_core_limit(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_CORE, &limit) < 0 ? errno : limit.rlim_max == 0 ? 0 : EBADMSG;
}

static enum error_kind enter_as_worker(struct error *error)
{
    return jail_enter(JAIL_WORKER, error);
}

/* Runs in the jail; answers with the errno over the channel. -1: not even a process came back. */
static int from_inside(enum error_kind (*enter)(struct error *error), int (*attempt)(void))
{
    int ends[2], status, got = -1;
    pid_t pid;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    parent = getpid();
    channel = ends[1];
    pid = fork();
    if (pid == 0) {
        struct error error;
        int code = EINVAL;

        if (enter(&error) == ERROR_NONE)
            code = attempt();
        else
            fprintf(stderr, "%s\n", error.text);
        if (write(ends[1], &code, sizeof code) != sizeof code)
            _exit(1);
        _exit(0);
    }
    close(ends[1]);
    if (read(ends[0], &got, sizeof got) != sizeof got)
        got = -1;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return got;
}

static void a_prisoner_can_do_this_and_not_that(void **state)
{
    static const struct {
        const char *name;
        int (*attempt)(void);
        int want;
    } cases[] = {
        { "open a file", try_open, ENOENT },
        { "open the root", try_open_nothing, ENOENT },
        { "create a file", try_create, ENOENT },
        { "openat2", try_openat2, ENOENT },
        { "stat", try_stat, ENOENT },
        { "access", try_access, ENOENT },
        { "unlink", try_unlink, EPERM },
        { "exec", try_exec, EPERM },
        { "fork", try_fork, EPERM },
        { "clone a process", try_clone, EPERM },
        { "ptrace the parent", try_ptrace, EPERM },
        { "ptrace oneself", try_ptrace_me, EPERM },
        { "kill", try_kill, EPERM },
        { "tgkill another", try_tgkill, ENOSYS },
        { "a unix socket", try_unix, EAFNOSUPPORT },
        { "a netlink socket", try_netlink, EAFNOSUPPORT },
        { "a packet socket", try_packet, EAFNOSUPPORT },
        { "a raw socket", try_raw, ENOSYS },
        { "a pair of datagram sockets", try_datagram_pair, ENOSYS },
        { "bind", try_bind, EPERM },
        { "listen", try_listen, EPERM },
        { "be dumpable again", try_dumpable, ENOSYS },
        { "set a limit", try_limit, ENOSYS },
        { "mount", try_mount, EPERM },
        { "unshare", try_unshare, EPERM },
        { "io_uring", try_uring, ENOSYS },
        { "a call that there is not", try_unknown, ENOSYS },
        { "read another's memory", try_vm_read, EPERM },
        { "type on the terminal", try_terminal, ENOSYS },

        { "TCP", try_tcp, 0 },
        { "TCP over IPv6", try_tcp6, 0 },
        { "UDP", try_udp, 0 },
        { "a pair of stream sockets", try_pair, 0 },
        { "accept and splice", try_accept_and_splice, 0 },
        { "epoll", try_epoll, 0 },
        { "memory", try_memory, 0 },
        { "fstat", try_fstat, 0 },
        { "a thread, itself jailed", try_thread, 0 },
        { "no core", try_core_limit, 0 },
    };
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };

    (void)state;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 8), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int got = from_inside(enter_as_worker, cases[i].attempt);

        if (got != cases[i].want)
            fail_msg("%s: %d (%s), wanted %d", cases[i].name, got, strerror(got), cases[i].want);
    }
    close(listener);
}

/* ---- admin ---- */

static char home[] = "/tmp/dejunk-jail-XXXXXX"; // KEEP/ and SOCKETS/ in it are the places

static const char *at_home(const char *name)
{
    static char paths[2][128];
    static unsigned next;
    char *path = paths[next++ % 2];

    snprintf(path, sizeof paths[0], "%s/%s", home, name);
    return path;
}

static enum error_kind enter_as_admin(struct error *error)
{
    char keep[128], sockets[128];
    const struct jail_place places[] = { { "/proc", JAIL_READ },
                                         { keep, JAIL_KEEP },
                                         { sockets, JAIL_SOCKETS },
                                         { "/there/is/no/such/place", JAIL_KEEP } };

    snprintf(keep, sizeof keep, "%s/keep", home);
    snprintf(sockets, sizeof sockets, "%s/sockets", home);
    return jail_enter_with(places, sizeof places / sizeof *places, error);
}

static int make(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    return fd < 0 ? errno : write(fd, "x", 1) == 1 && fsync(fd) == 0 ? close(fd) : EIO;
}
static int try_keep(void)
{
    int code = make(at_home("keep/new"));
    struct stat about;

    if (code == 0)
        code = result(rename(at_home("keep/new"), at_home("keep/file")));
    if (code == 0)
        code = result(stat(at_home("keep/file"), &about));
    return code ? code : result(unlink(at_home("keep/file")));
}
static int try_keep_elsewhere(void)
{
    return make(at_home("elsewhere"));
}
static int try_keep_among_sockets(void)
{
    return make(at_home("sockets/file"));
}
static int try_directory(void)
{
    return result(mkdir(at_home("keep/directory"), 0700));
}
static int try_link_out(void)
{
    return result(symlink("/etc/passwd", at_home("keep/link")));
}
static int try_passwd(void)
{
    return result(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}
static int try_move_out(void)
{
    int code = make(at_home("keep/new"));
    return code ? code : result(rename(at_home("keep/new"), at_home("elsewhere")));
}
static int try_process(void)
{
    return result(open("/proc/self/stat", O_RDONLY | O_CLOEXEC));
}
static int try_write_process(void)
{
    return result(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
}
static int try_code(void)
{
    void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? errno : 0;
}
static int bind_at(const char *path)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || listen(fd, 1) < 0)
        return errno;
    return result(unlink(path));
}
static int try_socket(void)
{
    return bind_at(at_home("sockets/socket"));
}
static int try_socket_elsewhere(void)
{
    return bind_at(at_home("socket"));
}

static void admin_keeps_its_files_and_no_others(void **state)
{
    static const struct {
        const char *name;
        int (*attempt)(void);
        int want;
        bool by_landlock;
    } cases[] = {
        { "keep a file", try_keep, 0, false },
        { "a socket in its place", try_socket, 0, false },
        { "read of processes", try_process, 0, false },
        { "memory", try_memory, 0, false },
        { "epoll", try_epoll, 0, false },
        { "a pair of stream sockets", try_pair, 0, false },
        { "a file elsewhere", try_keep_elsewhere, EACCES, true },
        { "a file among sockets", try_keep_among_sockets, EACCES, true },
        { "a socket elsewhere", try_socket_elsewhere, EACCES, true },
        { "read elsewhere", try_passwd, EACCES, true },
        { "move a file out", try_move_out, EACCES, true },
        { "write to processes", try_write_process, EACCES, true },
        { "a directory", try_directory, EACCES, true },
        { "a link", try_link_out, EPERM, false },
        { "openat2", try_openat2, ENOENT, false },
        { "exec", try_exec, EPERM, false },
        { "fork", try_fork, EPERM, false },
        { "ptrace the parent", try_ptrace, EPERM, false },
        { "kill", try_kill, EPERM, false },
        { "TCP", try_tcp, ENOSYS, false },
        { "UDP", try_udp, ENOSYS, false },
        { "a netlink socket", try_netlink, ENOSYS, false },
        { "memory that runs code", try_code, ENOSYS, false },
        { "read another's memory", try_vm_read, EPERM, false },
        { "be dumpable again", try_dumpable, ENOSYS, false },
        { "set a limit", try_limit, ENOSYS, false },
        { "io_uring", try_uring, ENOSYS, false },
        { "no core", try_core_limit, 0, false },
    };
    bool has_landlock = syscall(444, NULL, 0, 1) > 0;
    char command[64];

    (void)state;
    assert_non_null(mkdtemp(home));
    assert_int_equal(mkdir(at_home("keep"), 0700), 0);
    assert_int_equal(mkdir(at_home("sockets"), 0700), 0);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int got = has_landlock || !cases[i].by_landlock
                      ? from_inside(enter_as_admin, cases[i].attempt)
                      : cases[i].want;

        if (got != cases[i].want)
            fail_msg("%s: %d (%s), wanted %d", cases[i].name, got, strerror(got), cases[i].want);
    }
    close(listener);
    snprintf(command, sizeof command, "rm -rf %s", home);
    assert_int_equal(system(command), 0);
}

static void abort_ends_a_prisoner(void **state)
{
    int status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        if (jail_enter(JAIL_WORKER, NULL) == ERROR_NONE)
            abort();
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static int read_status(pid_t pid, const char *key)
{
    char path[64], line[256];
    int value = -1;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0)
            value = (int)strtol(line + strlen(key), NULL, 10);
    fclose(file);
    return value;
}

static void the_kernel_says_so_too(void **state)
{
    int ends[2];
    char byte;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        if (jail_enter(JAIL_WORKER, NULL) != ERROR_NONE || write(ends[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            poll(NULL, 0, 1000);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(read_status(pid, "Seccomp:"), 2);
    assert_int_equal(read_status(pid, "NoNewPrivs:"), 1);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prisoner_can_do_this_and_not_that),
        cmocka_unit_test(admin_keeps_its_files_and_no_others),
        cmocka_unit_test(abort_ends_a_prisoner),
        cmocka_unit_test(the_kernel_says_so_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
