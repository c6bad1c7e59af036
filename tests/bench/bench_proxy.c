/*
 * bench_proxy.c - what the whole proxy costs: CPU for each request or megabyte, on loopback alone.
 *
 * Three processes: the built proxy ($DEJUNK, one worker), an origin made here, and the load, made
 * here too. The proxy has a CPU of its own where there are two. Its CPU is read from the kernel
 * (/proc/PID/schedstat of the whole tree), so that what else runs here disturbs the throughput but
 * hardly this figure. Prints one line for each workload; BENCH_S seconds each (2).
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

enum { HEAD_BYTES = 2048, BLOCK_BYTES = 1 << 18, EVENTS = 256, IDLE_CONNECTIONS = 1000 };

static char block[BLOCK_BYTES];

static void die(const char *what)
{
    fprintf(stderr, "bench_proxy: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void stay_on_cpu(int number)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(number, &set);
    if (sysconf(_SC_NPROCESSORS_ONLN) >= 2)
        sched_setaffinity(0, sizeof set, &set); // refused: then they share, and noise is higher
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons(port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int listen_anywhere(uint16_t *port)
{
    struct sockaddr_in at = loopback(0);
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&at, &size))
        die("no listening socket");
    *port = ntohs(at.sin_port);
    return fd;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in at = loopback(port);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        die("no socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) && errno != EINPROGRESS)
        die("cannot connect");
    return fd;
}

// ---- the origin: GET /N is answered with N bytes, on kept connections --------------------------

struct visitor {
    int fd;
    size_t head_size, left_bytes; // of the answer under way, its header included
    size_t answer_at, answer_size;
    char head[HEAD_BYTES], answer[256];
};

static bool visitor_answers(struct visitor *visitor) // false: gone
{
    while (visitor->left_bytes > 0) {
        bool in_head = visitor->answer_at < visitor->answer_size;
        const char *from = in_head ? visitor->answer + visitor->answer_at : block;
        size_t size = in_head ? visitor->answer_size - visitor->answer_at : visitor->left_bytes;
        ssize_t put;

        if (!in_head && size > BLOCK_BYTES)
            size = BLOCK_BYTES;
        put = send(visitor->fd, from, size,
                   MSG_NOSIGNAL | (size < visitor->left_bytes ? MSG_MORE : 0));
        if (put < 0)
            return errno == EAGAIN;
        if (in_head)
            visitor->answer_at += (size_t)put;
        visitor->left_bytes -= (size_t)put;
    }
    return true;
}

static bool visitor_asks(struct visitor *visitor)
{
    ssize_t got = recv(visitor->fd, visitor->head + visitor->head_size,
                       HEAD_BYTES - 1 - visitor->head_size, 0);
    size_t body;

    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    visitor->head_size += (size_t)got;
    visitor->head[visitor->head_size] = 0;
    if (!strstr(visitor->head, "\r\n\r\n"))
        return visitor->head_size < HEAD_BYTES - 1;
    body = strtoul(visitor->head + strlen("GET /"), NULL, 10);
    visitor->head_size = 0;
    visitor->answer_at = 0;
    visitor->answer_size = (size_t)snprintf(visitor->answer, sizeof visitor->answer,
                                            "HTTP/1.1 200 OK\r\n"
                                            "Content-Type: application/octet-stream\r\n"
                                            "Content-Length: %zu\r\n\r\n",
                                            body);
    visitor->left_bytes = visitor->answer_size + body;
    return visitor_answers(visitor);
}

static void origin_run(int listener)
{
    int poll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS], event = { .events = EPOLLIN };

    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct visitor *visitor = events[i].data.ptr;
            if (!visitor) {
                int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd < 0)
                    continue;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                visitor = calloc(1, sizeof *visitor);
                if (!visitor)
                    die("no memory");
                visitor->fd = fd;
                event = (struct epoll_event){ .events = EPOLLIN | EPOLLOUT | EPOLLET,
                                              .data.ptr = visitor };
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
                continue;
            }
            if (!visitor_answers(visitor) ||
                (visitor->left_bytes == 0 && (events[i].events & EPOLLIN) &&
                 !visitor_asks(visitor)) ||
                (events[i].events & (EPOLLHUP | EPOLLERR))) {
                close(visitor->fd);
                free(visitor);
            }
        }
    }
}

// ---- the load ----------------------------------------------------------------------------------

struct workload {
    const char *name;
    int connections;
    bool is_fresh;  // a connection for each request
    bool is_tunnel; // CONNECT first
    bool by_megabyte;
    size_t body_bytes;
};

static const struct workload workloads[] = {
    { "small-get", 64, false, false, false, 1024 },
    { "one-connection", 1, false, false, false, 1024 },
    { "new-conn", 32, true, false, false, 1024 },
    { "connect", 32, true, true, false, 1024 },
    { "html-100k", 32, false, false, false, 102400 },
    { "download", 4, false, false, true, 256 << 20 },
    { "tunnel-bulk", 4, false, true, true, 256 << 20 },
};

struct client {
    int fd;
    bool in_tunnel;
    size_t head_size;
    size_t left_bytes; // of the body
    double asked_s;
    char head[HEAD_BYTES];
};

struct load {
    const struct workload *work;
    uint16_t to_port, origin_port;
    bool is_proxied;
    int poll;
    uint64_t done, bytes, failed;
    double waited_s;
};

static void client_asks(struct load *load, struct client *client)
{
    char text[512];
    int size;

    if (load->is_proxied && load->work->is_tunnel && !client->in_tunnel)
        size = snprintf(text, sizeof text,
                        "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
                        load->origin_port, load->origin_port);
    else if (load->is_proxied && !load->work->is_tunnel)
        size = snprintf(text, sizeof text,
                        "GET http://127.0.0.1:%u/%zu HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                        "User-Agent: bench\r\nAccept: */*\r\n\r\n",
                        load->origin_port, load->work->body_bytes, load->origin_port);
    else
        size = snprintf(text, sizeof text,
                        "GET /%zu HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: bench\r\n"
                        "Accept: */*\r\n\r\n",
                        load->work->body_bytes, load->origin_port);
    client->head_size = client->left_bytes = 0;
    if (send(client->fd, text, (size_t)size, MSG_NOSIGNAL) != size)
        load->failed++;
}

static void client_opens(struct load *load, struct client *client)
{
    struct epoll_event event = { .events = EPOLLOUT | EPOLLONESHOT, .data.ptr = client };

    client->fd = connect_to(load->to_port);
    client->in_tunnel = false;
    client->asked_s = now_s();
    epoll_ctl(load->poll, EPOLL_CTL_ADD, client->fd, &event);
}

static void client_reopens(struct load *load, struct client *client)
{
    struct linger at_once = { .l_onoff = 1 }; // no thousands of ports in TIME_WAIT

    setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(client->fd);
    client_opens(load, client);
}

static void client_is_served(struct load *load, struct client *client)
{
    double at = now_s();

    load->done++;
    load->bytes += load->work->body_bytes;
    load->waited_s += at - client->asked_s;
    if (load->work->is_fresh) {
        client_reopens(load, client);
        return;
    }
    client->asked_s = at;
    client_asks(load, client);
}

/* The header is in: what is left of the body, or the tunnel stands. False: not what we asked for.
 */
static bool client_reads_head(struct load *load, struct client *client, size_t head_bytes)
{
    const char *length = strcasestr(client->head, "\r\nContent-Length:");

    if (strncmp(client->head, "HTTP/1.1 200", 12) != 0)
        return false;
    if (load->is_proxied && load->work->is_tunnel && !client->in_tunnel) {
        client->in_tunnel = true;
        client_asks(load, client);
        return true;
    }
    if (!length || strtoul(length + 17, NULL, 10) != load->work->body_bytes)
        return false;
    client->left_bytes = load->work->body_bytes - (client->head_size - head_bytes);
    client->head_size = 0;
    if (client->left_bytes == 0)
        client_is_served(load, client);
    return true;
}

static bool client_reads(struct load *load, struct client *client)
{
    static char room[BLOCK_BYTES];
    const char *end;
    ssize_t got;

    if (client->left_bytes > 0) {
        got = recv(client->fd, room, sizeof room, 0);
        if (got <= 0)
            return got < 0 && errno == EAGAIN;
        client->left_bytes -= (size_t)got;
        if (client->left_bytes == 0)
            client_is_served(load, client);
        return true;
    }
    got = recv(client->fd, client->head + client->head_size, HEAD_BYTES - 1 - client->head_size, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    client->head_size += (size_t)got;
    client->head[client->head_size] = 0;
    end = strstr(client->head, "\r\n\r\n");
    if (!end)
        return client->head_size < HEAD_BYTES - 1;
    return client_reads_head(load, client, (size_t)(end + 4 - client->head));
}

static void load_run(struct load *load, double seconds)
{
    struct client *clients = calloc((size_t)load->work->connections, sizeof *clients);
    struct epoll_event events[EVENTS];
    double end = now_s() + seconds;

    load->poll = epoll_create1(EPOLL_CLOEXEC);
    if (!clients || load->poll < 0)
        die("no load");
    for (int i = 0; i < load->work->connections; i++)
        client_opens(load, &clients[i]);
    while (now_s() < end) {
        int count = epoll_wait(load->poll, events, EVENTS, 100);
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) { // connected
                struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };
                epoll_ctl(load->poll, EPOLL_CTL_MOD, client->fd, &event);
                client_asks(load, client);
            } else if (!client_reads(load, client)) {
                load->failed++;
                client_reopens(load, client);
            }
        }
    }
    for (int i = 0; i < load->work->connections; i++) {
        if (clients[i].left_bytes > 0)
            load->bytes += load->work->body_bytes - clients[i].left_bytes;
        close(clients[i].fd);
    }
    close(load->poll);
    free(clients);
}

// ---- the proxy and its processes ---------------------------------------------------------------

struct usage {
    double cpu_s;
    size_t rss_kb;
};

static pid_t parent_of(pid_t pid)
{
    char path[64], text[512];
    const char *at;
    ssize_t size;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (size <= 0)
        return 0;
    text[size] = 0;
    at = strrchr(text, ')');
    return at && strlen(at) > 4 ? (pid_t)strtol(at + 4, NULL, 10) : 0;
}

static bool descends_from(pid_t pid, pid_t ancestor)
{
    while (pid > 1 && pid != ancestor)
        pid = parent_of(pid);
    return pid == ancestor;
}

static uint64_t first_number(const char *file, pid_t pid, int skip)
{
    char path[64];
    unsigned long long number = 0;
    FILE *from;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    from = fopen(path, "re");
    for (int i = 0; from && i <= skip; i++)
        if (fscanf(from, "%llu", &number) != 1)
            number = 0;
    if (from)
        fclose(from);
    return number;
}

static struct usage usage_of(pid_t root)
{
    struct usage usage = { 0 };
    DIR *proc = opendir("/proc");
    struct dirent *entry;

    while (proc && (entry = readdir(proc))) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (!isdigit((unsigned char)entry->d_name[0]) || !descends_from(pid, root))
            continue;
        usage.cpu_s += (double)first_number("schedstat", pid, 0) / 1e9;
        usage.rss_kb += first_number("statm", pid, 1) * (size_t)(sysconf(_SC_PAGESIZE) / 1024);
    }
    if (proc)
        closedir(proc);
    return usage;
}

static bool answers(uint16_t port)
{
    struct sockaddr_in at = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_there = fd >= 0 && !connect(fd, (struct sockaddr *)&at, sizeof at);

    if (fd >= 0)
        close(fd);
    return is_there;
}

static pid_t proxy_start(const char *dir, uint16_t port)
{
    const char *program = getenv("DEJUNK");
    char path[256], log[256];
    FILE *config;
    pid_t pid;

    snprintf(path, sizeof path, "%s/proxy.conf", dir);
    snprintf(log, sizeof log, "%s/proxy.log", dir);
    config = fopen(path, "we");
    if (!config)
        die(path);
    fprintf(config,
            "listen = {\"127.0.0.1:%u\"}\nworkers = 1\nconnect_ports = {1-65535}\n"
            "allow_destinations = {\"127.0.0.0/8\"}\nstate_dir = \"%s\"\nruntime_dir = \"%s\"\n",
            port, dir, dir);
    fclose(config);
    pid = fork();
    if (pid < 0)
        die("cannot fork");
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        stay_on_cpu(1);
        dup2(fd, 1);
        dup2(fd, 2);
        execl(program ? program : "build/dejunk", "dejunk", "run", "-c", path, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500 && !answers(port); i++) {
        struct timespec pause = { .tv_nsec = 10000000 };
        if (waitpid(pid, NULL, WNOHANG) == pid) {
            fprintf(stderr, "bench_proxy: the proxy did not start, see %s\n", log);
            exit(1);
        }
        nanosleep(&pause, NULL);
    }
    return pid;
}

// ---- measuring ---------------------------------------------------------------------------------

static void measure(const struct workload *work, uint16_t proxy_port, uint16_t origin_port,
                    pid_t proxy, double seconds)
{
    struct load warm = {
        .work = work, .to_port = proxy_port, .origin_port = origin_port, .is_proxied = true
    };
    struct load load = warm, direct = warm;
    struct usage before, after;
    double per, cpu_s, start, wall_s;

    direct.is_proxied = false;
    direct.to_port = origin_port;
    load_run(&direct, seconds / 4);
    load_run(&warm, seconds / 8);
    before = usage_of(proxy);
    start = now_s();
    load_run(&load, seconds);
    wall_s = now_s() - start;
    after = usage_of(proxy);
    cpu_s = after.cpu_s - before.cpu_s;
    per = work->by_megabyte ? (double)load.bytes / (1 << 20) : (double)load.done;
    printf("%-16s %9.0f %-5s %8.2f us CPU per %s  %7.0f us each  %3.0f %% of a core  "
           "%4.2f of direct%s\n",
           work->name, per / wall_s, work->by_megabyte ? "MB/s" : "req/s",
           per > 0 ? cpu_s * 1e6 / per : 0, work->by_megabyte ? "MB " : "req",
           load.done ? load.waited_s * 1e6 / (double)load.done : 0, cpu_s * 100 / wall_s,
           (double)load.bytes / wall_s / ((double)direct.bytes / (seconds / 4)),
           load.failed ? "  FAILED REQUESTS" : "");
    fflush(stdout);
}

static void measure_idle(uint16_t proxy_port, uint16_t origin_port, pid_t proxy)
{
    struct workload work = { "idle", 1, false, false, false, 1024 };
    struct load load = {
        .work = &work, .to_port = proxy_port, .origin_port = origin_port, .is_proxied = true
    };
    static struct client clients[IDLE_CONNECTIONS];
    struct usage before, after;
    char text[HEAD_BYTES];

    load_run(&load, 0.3); // what one connection needs while busy is there already
    before = usage_of(proxy);
    for (int i = 0; i < IDLE_CONNECTIONS; i++) {
        struct sockaddr_in at = loopback(proxy_port);
        clients[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(clients[i].fd, (struct sockaddr *)&at, sizeof at))
            die("cannot connect");
        client_asks(&load, &clients[i]);
        for (size_t left = 1, seen = 0; left > 0;) { // until header and body are in
            ssize_t got = recv(clients[i].fd, text + seen, sizeof text - 1 - seen, 0);
            const char *end;
            if (got <= 0)
                die("no answer");
            seen += (size_t)got;
            text[seen] = 0;
            end = memmem(text, seen, "\r\n\r\n", 4);
            left = end && seen >= (size_t)(end + 4 - text) + work.body_bytes ? 0 : 1;
        }
    }
    after = usage_of(proxy);
    printf("%-16s %9d open  %8.0f bytes each (process memory)\n", "idle", IDLE_CONNECTIONS,
           ((double)after.rss_kb - (double)before.rss_kb) * 1024 / IDLE_CONNECTIONS);
    for (int i = 0; i < IDLE_CONNECTIONS; i++)
        close(clients[i].fd);
}

static void remove_dir(const char *dir)
{
    DIR *open_dir = opendir(dir);
    struct dirent *entry;

    while (open_dir && (entry = readdir(open_dir)))
        if (unlinkat(dirfd(open_dir), entry->d_name, 0) && errno == EISDIR)
            unlinkat(dirfd(open_dir), entry->d_name, AT_REMOVEDIR); // refused for `.` and `..`
    if (open_dir)
        closedir(open_dir);
    rmdir(dir);
}

int main(int argc, char **argv)
{
    const char *wanted = argc > 1 ? argv[1] : NULL, *text = getenv("BENCH_S");
    double seconds = text ? strtod(text, NULL) : 2;
    char dir[] = "/tmp/dejunk-bench-XXXXXX";
    uint16_t origin_port, proxy_port;
    int listener = listen_anywhere(&origin_port), other;
    struct rlimit files;
    pid_t origin, proxy;

    if (!mkdtemp(dir) || seconds <= 0)
        die("no directory, or no time");
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    stay_on_cpu(0);
    origin = fork();
    if (origin == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        origin_run(listener);
    }
    close(listener);
    other = listen_anywhere(&proxy_port);
    close(other);
    proxy = proxy_start(dir, proxy_port);
    if (!wanted || strcmp(wanted, "idle") == 0)
        measure_idle(proxy_port, origin_port, proxy); // first: nothing to borrow from is left over
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++)
        if (!wanted || strcmp(wanted, workloads[i].name) == 0)
            measure(&workloads[i], proxy_port, origin_port, proxy, seconds);
    kill(proxy, SIGTERM);
    kill(origin, SIGTERM);
    waitpid(proxy, NULL, 0);
    waitpid(origin, NULL, 0);
    remove_dir(dir);
    return 0;
}
