/*
 * check.c - `dejunk check`: is the configuration good, and what does it come to?
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/say.h"
#include "cli/settings.h"
#include "daemon/installation.h"
#include "daemon/signing.h"
#include "daemon/supply.h"
#include "proxy/proxy.h"

static void show_texts(const char *label, const char *first, const struct config_texts *texts)
{
    printf("  %-12s %s", label, first);
    for (size_t i = 0; i < texts->count; i++)
        printf("%s%.*s", i > 0 || *first ? ", " : "", SPAN_PRINT(texts->items[i]));
    printf("\n");
}

static void show_parents(const struct config *config)
{
    for (size_t i = 0; i < config->parent_count; i++) {
        const struct config_parent *parent = &config->parents[i];
        size_t at = span_find_byte(parent->url, '@');
        size_t scheme = span_find(parent->url, SPAN("://")) + 3;
        struct span host = span_from(parent->url, at < parent->url.size ? at + 1 : scheme);

        // Without the name and password that may stand in it.
        printf("  %-12s %.*s: %.*s%.*s for ", i ? "" : "parents", SPAN_PRINT(parent->name),
               SPAN_PRINT(span_slice(parent->url, 0, scheme)), SPAN_PRINT(host));
        if (parent->for_hosts.count == 0)
            printf("all hosts");
        for (size_t j = 0; j < parent->for_hosts.count; j++)
            printf("%s%.*s", j ? ", " : "", SPAN_PRINT(parent->for_hosts.items[j]));
        printf("\n");
    }
}

static void show_https(const struct config *config)
{
    static const char *const whose[] = { "enrolled clients", "all clients", "nobody" };

    char list[PATH_MAX];

    printf("  %-12s %s\n", "opens https", whose[config->intercept]);
    if (config->no_intercept.size > 0)
        printf("  %-12s %.*s\n", "but not of", SPAN_PRINT(config->no_intercept));
    else if (installation_data_file(list, sizeof list, "no-intercept"))
        printf("  %-12s %s\n", "but not of", list);
}

static void show_lists(const struct config *config)
{
    for (size_t i = 0; i < config->list_count; i++) {
        const struct config_list *list = &config->lists[i];

        printf("  %-12s %.*s: %.*s%s%s\n", i ? "" : "lists", SPAN_PRINT(list->name),
               SPAN_PRINT(list->file), list->trusted ? ", trusted" : "",
               list->enabled ? "" : ", off");
        fflush(stdout);
        if (list->enabled && access(list->file.at, R_OK) != 0)
            say_warning("list %.*s: cannot read %.*s: %s", SPAN_PRINT(list->name),
                        SPAN_PRINT(list->file), strerror(errno));
    }
}

static void show(const struct settings *settings, const struct config_sources *sources,
                 const struct config *config)
{
    size_t drop_ins = sources->count - (settings->path != NULL) - (settings->count > 0);

    if (settings->path && access(settings->path, F_OK) != 0)
        printf("There is no %s; its drop-ins are good\n", settings->path);
    else if (settings->path)
        printf("%s is good\n", settings->path);
    else
        printf("The defaults are good; there is no %s\n", settings->default_path);
    for (size_t i = 0; i < drop_ins; i++)
        printf("  %-12s %.*s\n", i ? "" : "with", SPAN_PRINT(sources->items[1 + i].name));
    show_texts("listens on", config->listen.count ? "" : "only what systemd hands over",
               &config->listen);
    if (config->user_count == 0)
        show_texts("serves", "loopback", &config->allow);
    else
        show_texts("serves", config->user_count == 1 ? "1 user" : "users", &config->allow);
    show_parents(config);
    show_https(config);
    show_lists(config);
    if (!config->filter)
        printf("  %-12s off\n", "filter");
}

/* The files that it names for https. What only the service may read is no mistake, but told. */
static enum error_kind check_https(const struct config *config, struct error *error)
{
    struct parcel trust = { .fd = -1 };
    enum error_kind kind = supply_pack_trust(&trust, config, error);
    struct error why;

    if (kind)
        return kind;
    close(trust.fd);
    if (signing_check(config, &why))
        say_warning("no https would be opened: %s", why.text);
    return ERROR_NONE;
}

static int run(struct options *options)
{
    struct settings settings = { 0 };
    struct config_sources sources;
    struct config *config;
    struct error error;
    enum error_kind kind;
    int letter;

    while ((letter = options_next(options)) > 0)
        settings_take(&settings, letter, options->value);
    if (letter == OPTIONS_END_NOW || !options_count(options, 0, 0))
        return options->exit_code;
    if (settings_load(&settings, &config, &sources, &error)) {
        say_error("%s", error.text);
        return EX_CONFIG;
    }
    kind = proxy_check_config(config, &error);
    if (!kind)
        kind = check_https(config, &error);
    if (kind)
        say_error("%s", error.text);
    else
        show(&settings, &sources, config);
    config_unref(&config);
    config_sources_done(&sources);
    return kind ? EX_CONFIG : say_finish();
}

static const struct option_row rows[] = { SETTINGS_ROWS, { 0 } };
const struct command command_check = {
    .name = "check",
    .help = "check the configuration and show what it comes to",
    .about = "Reads proxy.conf, its drop-ins and the settings given with -D as `dejunk run` does.\n"
             "The first mistake is told with its file and line, and the exit code is 78 then.",
    .options = rows,
    .run = run,
};
