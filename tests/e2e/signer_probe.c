/* Beside a worker (LD_PRELOAD): finds the signer while files may still be opened, and once the
 * worker waits for events in its jail, tries to get at the key, and says on standard error what
 * came of it. DEJUNK_PROBE_KEY names the file with the key. */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

static int signer;

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

    if (!signer) // the signer itself found none
        return;
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
}

int epoll_create1(int flags)
{
    int (*real)(int) = NULL;

    *(void **)&real = dlsym(RTLD_NEXT, "epoll_create1");
    signer = find_signer();
    return real(flags);
}
