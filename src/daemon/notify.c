#include "daemon/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_PASSED_FD = 3 };

static bool read_number(const char *name, uint64_t *number)
{
    const char *text = getenv(name);

    return text && span_to_u64(span_text(text), number);
}

static uint64_t read_watchdog_ms(void)
{
    uint64_t pid, usec;

    if (read_number("WATCHDOG_PID", &pid) && pid != (uint64_t)getpid())
        return 0;
    return read_number("WATCHDOG_USEC", &usec) ? usec / 1000 : 0;
}

enum error_kind notify_open(struct notify *notify, struct error *error)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t size = path ? strlen(path) : 0;

    *notify = (struct notify){ .fd = -1 };
    if (size == 0)
        return ERROR_NONE;
    if ((path[0] != '/' && path[0] != '@') || size < 2 || size >= sizeof notify->to.sun_path)
        return error_set(error, ERROR_ADDRESS, "NOTIFY_SOCKET is no path of a socket");
    notify->to.sun_family = AF_UNIX;
    memcpy(notify->to.sun_path, path, size);
    if (path[0] == '@')
        notify->to.sun_path[0] = '\0'; // the abstract namespace; its names have no NUL at the end
    notify->to_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (notify->fd < 0)
        return error_errno(error, ERROR_SYSTEM, "no socket to the service manager");
    notify->watchdog_ms = read_watchdog_ms();
    return ERROR_NONE;
}

void notify_close(struct notify *notify)
{
    if (notify->fd >= 0)
        close(notify->fd);
    notify->fd = -1;
    notify->watchdog_ms = 0;
}

static void tell(const struct notify *notify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void tell(const struct notify *notify, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    int size;
    ssize_t sent;

    if (notify->fd < 0)
        return;
    va_start(arguments, format);
    size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (size < 0)
        return;
    if ((size_t)size >= sizeof text)
        size = sizeof text - 1;
    sent = sendto(notify->fd, text, (size_t)size, MSG_NOSIGNAL,
                  (const struct sockaddr *)&notify->to, notify->to_size);
    (void)sent; // a manager that does not listen is not our trouble
}

void notify_ready(const struct notify *notify, const char *status)
{
    tell(notify, "READY=1\nSTATUS=%s", status);
}

void notify_reloading(const struct notify *notify)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    tell(notify, "RELOADING=1\nMONOTONIC_USEC=%lld",
         (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void notify_stopping(const struct notify *notify)
{
    tell(notify, "STOPPING=1\nSTATUS=draining");
}

void notify_status(const struct notify *notify, const char *status)
{
    tell(notify, "STATUS=%s", status);
}

void notify_watchdog(const struct notify *notify)
{
    tell(notify, "WATCHDOG=1");
}

void notify_main_pid(const struct notify *notify, int pid)
{
    tell(notify, "MAINPID=%d", pid);
}

static enum error_kind take_socket(int fd, struct error *error)
{
    int type = 0, family = 0, listens = 0, flags;
    socklen_t size = sizeof type;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0)
        return error_errno(error, ERROR_CONFIG, "passed descriptor %d", fd);
    if (type != SOCK_STREAM || (family != AF_INET && family != AF_INET6) || !listens)
        return error_set(error, ERROR_CONFIG, "passed descriptor %d is no listening TCP socket",
                         fd);
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return error_errno(error, ERROR_SYSTEM, "passed descriptor %d", fd);
    return ERROR_NONE;
}

enum error_kind notify_take_sockets(int *fds, size_t *count, struct error *error)
{
    uint64_t pid = 0, passed = 0;
    bool is_ours = read_number("LISTEN_PID", &pid) && pid == (uint64_t)getpid() &&
                   read_number("LISTEN_FDS", &passed);

    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (!is_ours)
        passed = 0;
    if (passed > NOTIFY_SOCKETS)
        return error_set(error, ERROR_CONFIG, "%llu sockets passed where %d are allowed",
                         (unsigned long long)passed, NOTIFY_SOCKETS);
    for (size_t i = 0; i < passed; i++) {
        enum error_kind kind = take_socket(FIRST_PASSED_FD + (int)i, error);
        if (kind != ERROR_NONE)
            return kind;
        fds[i] = FIRST_PASSED_FD + (int)i;
    }
    *count = (size_t)passed;
    return ERROR_NONE;
}
