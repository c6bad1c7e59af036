/*
 * run.c - `dejunk run`: the proxy, in the foreground.
 */
#include <sysexits.h>

#include "cli/commands.h"
#include "cli/say.h"
#include "cli/settings.h"
#include "daemon/daemon.h"

static int run(struct options *options)
{
    struct settings settings = { 0 };
    struct daemon_options daemon = { 0 };
    int letter;

    while ((letter = options_next(options)) > 0) {
        if (letter == 'v')
            daemon.verbosity++;
        else if (letter == 'q')
            daemon.verbosity--;
        else
            settings_take(&settings, letter, options->value);
    }
    if (letter == OPTIONS_END_NOW || !options_count(options, 0, 0))
        return options->exit_code;
    if (settings.count > SETTINGS) {
        say_error("-D:%d: too many settings", SETTINGS + 1);
        return EX_CONFIG;
    }
    if (!settings_find(&settings) && daemon.verbosity >= 0)
        fprintf(stderr, "dejunk: there is no %s; going by the defaults%s\n",
                settings.default_path[0] ? settings.default_path : "config file",
                settings.count ? " and -D" : "");
    daemon.config_path = settings.path;
    daemon.settings = settings.items;
    daemon.setting_count = settings.count;
    return daemon_run(&daemon);
}

static const struct option_row rows[] = {
    SETTINGS_ROWS,
    { 'v', "verbose", NULL, "write more to the log; twice: still more" },
    { 'q', "quiet", NULL, "write less to the log" },
    { 0 },
};
const struct command command_run = {
    .name = "run",
    .help = "run the proxy in the foreground",
    .about = "Listens on 127.0.0.1:8119 if the configuration does not say otherwise.\n"
             "SIGHUP reads the configuration anew, SIGUSR1 opens logs anew; SIGTERM or Ctrl-C\n"
             "lets what is under way end and exits, a second one exits at once.",
    .options = rows,
    .run = run,
};
