#include "daemon/daemon.h"

#include <sys/resource.h>
#include <sysexits.h>

#include "base/log.h"
#include "daemon/administrator.h"
#include "daemon/master.h"
#include "daemon/signing.h"

enum { DESCRIPTORS = 1024 * 1024 }; // more are not asked for; libraries walk through all there are

/* The soft limit is for programs with select(2). Every worker inherits it. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= DESCRIPTORS)
        return;
    limit.rlim_cur = limit.rlim_max > DESCRIPTORS ? DESCRIPTORS : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_info("the limit of open files stays where it is");
}

int daemon_run(const struct daemon_options *options)
{
    static const struct crew_role roles[] = { { "admin", administrator_run, MESSAGE_LOCAL },
                                              { "signer", signing_run, MESSAGE_SIGNER } };
    struct master_setup setup = { .options = options,
                                  .roles = roles,
                                  .role_count = sizeof roles / sizeof *roles };
    struct inheritance inheritance = { .channel = -1 };
    struct master *master = NULL;
    struct error error;
    enum error_kind kind;
    int exit_code;

    log_start("master", LOG_LEVEL_INFO);
    raise_descriptor_limit();
    kind = succession_inherit(&inheritance, &error);
    if (kind == ERROR_NONE)
        kind = master_new(&master, &setup, &inheritance, &error);
    if (kind != ERROR_NONE) {
        log_error("%s", error.text);
        return master_exit_code(kind);
    }
    exit_code = master_run(master);
    master_free(&master);
    return exit_code;
}
