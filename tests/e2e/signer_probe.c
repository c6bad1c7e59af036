/* Beside a worker (LD_PRELOAD): finds the signer while files may still be opened, and once the
 * worker waits for events in its jail, tries to get at the key, and says on standard error what
 * came of it. DEJUNK_PROBE_KEY names the file with the key. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int signer;

/* Only a worker tries: the other processes have jails of their own. Their names tell them apart. */
static int is_worker;

int prctl(int option, ...)
{
    unsigned long given[4];
    va_list rest;

    va_start(rest, option);
    for (int i = 0; i < 4; i++)
        given[i] = va_arg(rest, unsigned long);
    va_end(rest);
    if (option == PR_SET_NAME)
        is_worker = strncmp((const char *)given[0], "worker", 6) == 0;
    return (int)syscall(SYS_prctl, option, given[0], given[1], given[2], given[3]);
}

static void tell(const char *name, long result)
{
    char line[80];
    int size =
        snprintf(line, sizeof line, "probe: %s %s\n", name, result < 0 ? "refused" : "allowed");

    if (write(2, line, (size_t)size) < 0)
        return;
}

/* The master's child of that name. */
static int find_signer(void)
{
    DIR *all = opendir("/proc");
    const struct dirent *entry;
    int found = 0;

    while (all && !found && (entry = readdir(all))) {
        char path[300], name[64] = "";
        int pid = (int)strtol(entry->d_name, NULL, 10), parent = 0;
        FILE *file;

        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        file = pid > 0 ? fopen(path, "r") : NULL;
        if (!file)
            continue;
        if (fscanf(file, "%*d (%63[^)]) %*c %d", name, &parent) == 2 && parent == getppid() &&
            strcmp(name, "signer") == 0)
            found = pid;
        fclose(file);
    }
    if (all)
        closedir(all);
    return found;
}

static void probe(void)
{
    char path[64], byte;
    struct iovec here = { &byte, 1 }, there = { (void *)0x400000, 1 };

    tell("key", open(getenv("DEJUNK_PROBE_KEY"), O_RDONLY));
    snprintf(path, sizeof path, "/proc/%d/mem", signer);
    tell("mem", open(path, O_RDONLY));
    snprintf(path, sizeof path, "/proc/%d/maps", signer);
    tell("maps", open(path, O_RDONLY));
    tell("attach", ptrace(PTRACE_ATTACH, signer, NULL, NULL));
    tell("seize", ptrace(PTRACE_SEIZE, signer, NULL, NULL));
    tell("vm", process_vm_readv(signer, &here, 1, &there, 1, 0));
    tell("pidfd", syscall(SYS_pidfd_open, signer, 0));
    tell("kill", kill(signer, SIGTERM));
    if (write(2, "probe: done\n", 12) < 0)
        return;
}

int epoll_create1(int flags)
{
    int (*real)(int) = NULL;

    *(void **)&real = dlsym(RTLD_NEXT, "epoll_create1");
    signer = find_signer();
    return real(flags);
}

int epoll_wait(int fd, struct epoll_event *events, int most, int timeout)
{
    static int is_done;
    int (*real)(int, struct epoll_event *, int, int) = NULL;

    *(void **)&real = dlsym(RTLD_NEXT, "epoll_wait");
    if (!is_done && is_worker && syscall(SYS_prctl, PR_GET_SECCOMP, 0, 0, 0, 0) != 0) {
        is_done = 1;
        if (signer) // the signer itself found none
            probe();
    }
    return real(fd, events, most, timeout);
}
