#include "daemon/daemon.h"

#include <sys/resource.h>
#include <sysexits.h>

#include "base/log.h"
#include "daemon/administrator.h"
#include "daemon/master.h"
#include "daemon/worker.h"
#include "proxy/proxy.h"

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

static enum error_kind read_config(struct config **out, const struct daemon_options *options,
                                   struct error *error)
{
    struct config_sources sources;
    struct config *config = NULL;
    enum error_kind kind = config_sources_read(&sources, options->config_path, options->settings,
                                               options->setting_count, error);

    if (kind != ERROR_NONE)
        return kind;
    kind = config_parse(&config, &sources, error);
    config_sources_done(&sources);
    if (kind == ERROR_NONE)
        kind = proxy_check_config(config, error);
    if (kind != ERROR_NONE) {
        config_unref(&config);
        return kind;
    }
    *out = config;
    return ERROR_NONE;
}

static int exit_code_of(enum error_kind kind)
{
    switch (kind) {
    case ERROR_CONFIG:
    case ERROR_LIMIT:
        return EX_CONFIG;
    case ERROR_ADDRESS:
        return EX_UNAVAILABLE;
    default:
        return EX_OSERR;
    }
}

int daemon_run(const struct daemon_options *options)
{
    static const struct crew_role roles[] = { { "admin", administrator_run, true } };
    struct master_setup setup = { .options = options,
                                  .roles = roles,
                                  .role_count = sizeof roles / sizeof *roles };
    struct inheritance inheritance = { .channel = -1 };
    struct master *master = NULL;
    struct error error;
    enum error_kind kind;
    int exit_code;

    log_start("master", LOG_LEVEL_INFO);
    kind = read_config(&setup.config, options, &error);
    if (kind != ERROR_NONE) {
        log_error("%s", error.text);
        return EX_CONFIG;
    }
    log_set_level(worker_log_level(setup.config, options->verbosity));
    raise_descriptor_limit();
    kind = succession_inherit(&inheritance, &error);
    if (kind == ERROR_NONE)
        kind = master_new(&master, &setup, &inheritance, &error);
    config_unref(&setup.config);
    if (kind != ERROR_NONE) {
        log_error("%s", error.text);
        return exit_code_of(kind);
    }
    exit_code = master_run(master);
    master_free(&master);
    return exit_code;
}
