/* Beside a worker (LD_PRELOAD): once the worker waits for events in its jail, this tries what it
 * must not be able to do, and says on standard error what came of it. */
#include "probe.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/ptrace.h>
#include <sys/socket.h>

static void probe(void)
{
    char *const arguments[] = { (char[]){ "true" }, NULL };
    struct sockaddr_in at = { .sin_family = AF_INET };

    tell("open", open("/etc/passwd", O_RDONLY));
    tell("create", open("/tmp/dejunk-probe", O_CREAT | O_WRONLY, 0600));
    tell("exec", execv("/bin/true", arguments));
    tell("ptrace", ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
    tell("netlink", socket(AF_NETLINK, SOCK_RAW, 0));
    tell("unix", socket(AF_UNIX, SOCK_STREAM, 0));
    tell("fork", syscall(SYS_fork));
    tell("bind", bind(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&at, sizeof at));
}
