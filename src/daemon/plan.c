#include "daemon/plan.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon/supply.h"
#include "proxy/proxy.h"

size_t plan_workers(const struct config *config)
{
    cpu_set_t cpus;
    size_t wanted = config->workers;

    if (wanted == 0)
        wanted = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (size_t)CPU_COUNT(&cpus) : 1;
    return wanted > LISTENER_PLACES ? LISTENER_PLACES : wanted;
}

enum error_kind plan_open_access_log(int *fd, const struct config *config, struct error *error)
{
    char path[PATH_MAX];
    int opened;

    if (config->access_log == ACCESS_LOG_OFF) {
        *fd = -1;
        return ERROR_NONE;
    }
    if (config->access_log_file.size == 0) {
        opened = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        if (opened < 0)
            return error_errno(error, ERROR_SYSTEM, "no standard output for the access log");
        *fd = opened;
        return ERROR_NONE;
    }
    if (config->access_log_file.size >= sizeof path)
        return error_set(error, ERROR_LIMIT, "the path of the access log is too long");
    snprintf(path, sizeof path, "%.*s", SPAN_PRINT(config->access_log_file));
    opened = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (opened < 0)
        return error_errno(error, ERROR_SYSTEM, "cannot open the access log %s", path);
    *fd = opened;
    return ERROR_NONE;
}

enum error_kind plan_read(struct plan *out, const struct daemon_options *options,
                          struct error *error)
{
    struct plan plan = { .access_log = -1, .sources = -1, .trust = { .fd = -1 } };
    struct config_sources sources;
    enum error_kind kind = config_sources_read(&sources, options->config_path, options->settings,
                                               options->setting_count, error);

    if (kind != ERROR_NONE)
        return kind;
    kind = config_parse(&plan.config, &sources, error);
    if (kind == ERROR_NONE)
        kind = proxy_check_config(plan.config, error);
    if (kind == ERROR_NONE)
        kind = parcel_pack_sources(&plan.sources, &plan.sources_bytes, &sources, error);
    config_sources_done(&sources);
    if (kind == ERROR_NONE)
        kind = supply_pack_trust(&plan.trust, plan.config, error);
    if (kind != ERROR_NONE) {
        plan_done(&plan);
        return kind;
    }
    *out = plan;
    return ERROR_NONE;
}

enum error_kind plan_open(struct plan *plan, const struct listeners *old, struct error *error)
{
    enum error_kind kind = plan_open_access_log(&plan->access_log, plan->config, error);

    if (kind == ERROR_NONE)
        kind =
            listeners_make(&plan->listeners, old, plan->config, plan_workers(plan->config), error);
    return kind;
}

void plan_done(struct plan *plan)
{
    config_unref(&plan->config);
    listeners_done(&plan->listeners);
    if (plan->access_log >= 0)
        close(plan->access_log);
    if (plan->sources >= 0)
        close(plan->sources);
    if (plan->trust.fd >= 0)
        close(plan->trust.fd);
}
