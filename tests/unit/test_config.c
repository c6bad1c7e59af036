/* The config's parser: what texts come to, and which mistake is told with which line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "state/config.h"
#include "state/config_table.h"
#include "state/config_value.h"

#define HASH "$y$j9T$NFTVQjt/MesSS3sQQjmjh.$kUu0/nnCl9H.gLv261G8trbii2UDFw6WIzpp7ioRLF9"
#define USER "user \"a\" { password = '" HASH "' }\n"

enum { TEXTS = 3 };

static enum error_kind parse(struct config **out, const char *const texts[TEXTS],
                             struct error *error)
{
    static const char *const names[TEXTS] = { "a.conf", "b.conf", "-D" };
    struct config_source items[TEXTS];
    struct config_sources sources = { .items = items };

    for (; sources.count < TEXTS && texts[sources.count]; sources.count++)
        items[sources.count] = (struct config_source){ span_text(names[sources.count]),
                                                       span_text(texts[sources.count]) };
    return config_parse(out, &sources, error);
}

/* ---- mistakes ---- */

static const struct {
    const char *name;
    const char *texts[TEXTS];
    const char *want;
} mistakes[] = {
    // names
    { "unknown, near",
      { "via = yes\n\nlisten_ = 1" },
      "a.conf:3: unknown option \"listen_\"; did you mean \"listen\"?" },
    { "unknown, letters swapped",
      { "filetr = yes" },
      "a.conf:1: unknown option \"filetr\"; did you mean \"filter\"?" },
    { "unknown, other case",
      { "Via = yes" },
      "a.conf:1: unknown option \"Via\"; did you mean \"via\"?" },
    { "unknown, far", { "frobnicate = 1" }, "a.conf:1: unknown option \"frobnicate\"" },
    { "no name", { "\"\" = 1" }, "a.conf:1: this is not the syntax of a config file" },
    { "unknown section",
      { "sites \"x\" { }" },
      "a.conf:1: unknown option \"sites\"; did you mean \"site\"?" },
    { "unknown in a section",
      { "site \"x\" {\n filtr = no\n}" },
      "a.conf:2: unknown option \"filtr\"; did you mean \"filter\"?" },
    { "of a section, at the top",
      { "\npassword = \"x\"" },
      "a.conf:2: option \"password\" belongs inside a section: user \"NAME\" {...}" },
    { "of the top, in a section",
      { "site \"x\" {\n\n via = no }" },
      "a.conf:3: option \"via\" stands outside of sections" },
    { "of ca, outside",
      { "key = /k.pem" },
      "a.conf:1: option \"key\" belongs inside a section: ca {...}" },
    { "ca with half of it",
      { "\nca {\n certificate = /c.pem }" },
      "a.conf:2: ca needs both options, certificate and key" },
    { "leaf rate beyond",
      { "leaf_rate = 1000001" },
      "a.conf:1: leaf_rate: \"1000001\" is out of range (0 to 1000000)" },
    { "leaf burst beyond",
      { "leaf_burst = 0" },
      "a.conf:1: leaf_burst: \"0\" is out of range (1 to 1000000)" },
    { "intercept, unknown",
      { "intercept = some" },
      "a.conf:1: intercept: \"some\" is none of enrolled, all, none" },
    { "a section in a section",
      { "site \"x\" { site \"y\" { } }" },
      "a.conf:1: unknown option \"site\"" },
    { "path into a section",
      { "\"site=x|filter\" = no" },
      "a.conf:1: no sub-section 'x' in 'site'" },
    { "hidden option", { "opened = 1" }, "a.conf:1: unknown option \"opened\"" },
    { "include", { "include(\"/etc/passwd\")" }, "a.conf:1: unknown option \"include\"" },

    // which source, which line
    { "second source",
      { "via = yes", "\n\nvia = maybe" },
      "b.conf:3: via: \"maybe\" is not yes or no" },
    { "setting", { "via = yes", "", "via=\"no\"\nvia=\"\"" }, "-D:2: via: \"\" is not yes or no" },
    { "after comments",
      { "# one\n/* two\nthree */ // four\n\nvia = x" },
      "a.conf:5: via: \"x\" is not yes or no" },
    { "after a comment in a list",
      { "allow = { # one\n \"10.0.0.0/8\", // two\n x }" },
      "a.conf:3: allow: \"x\" is not an address or range such as 192.168.1.0/24 or fd00::/8" },
    { "after a comment at the end of a line",
      { "site \"x\" { /* a */ /* b */ /* c */\n gpc = 1 }" },
      "a.conf:2: gpc: \"1\" is not yes or no" },
    { "with CR LF", { "via = yes\r\nvia = 2\r\n" }, "a.conf:2: via: \"2\" is not yes or no" },
    { "with a byte order mark",
      { "\xef\xbb\xbfvia = 2" },
      "a.conf:1: via: \"2\" is not yes or no" },
    { "after a section",
      { "site \"x\" {\n gpc = no\n}\nvia = 1" },
      "a.conf:4: via: \"1\" is not yes or no" },

    // grammar
    { "string without end",
      { "via = yes\nauth_realm = \"x\nvia = no\n" },
      "a.conf:2: this string has no end on its line" },
    { "string without end at the end", { "auth_realm = 'x" }, "a.conf:1: this string has no end" },
    { "escaped end", { "auth_realm = \"x\\\"" }, "a.conf:1: this string has no end" },
    { "comment without end",
      { "via = yes\n/* x\n * via = no\n" },
      "a.conf:2: this comment has no end" },
    { "section without end",
      { "\nsite \"x\" {\n filter = no\n" },
      "a.conf:2: this { is never closed" },
    { "list without end",
      { "site \"x\" { }\nallow = { \"::1\",\n" },
      "a.conf:2: this { is never closed" },
    { "brace that closes nothing", { "via = yes\n}" }, "a.conf:2: this } closes nothing" },
    { "nested too deeply",
      { "policy \"image\" {\n reject = {\n { \"x\" } } }" },
      "a.conf:3: braces are nested too deeply" },
    { "wildcard without quotes",
      { "\nsite *.x { }" },
      "a.conf:2: text with * or + in it must stand in double quotes" },
    { "wildcard inside a word",
      { "site a/*.x { }" },
      "a.conf:1: text with * or + in it must stand in double quotes" },
    { "comment right behind a word",
      { "via = no/* x */" },
      "a.conf:1: text with * or + in it must stand in double quotes" },
    { "lone plus",
      { "allow + = { }" },
      "a.conf:1: text with * or + in it must stand in double quotes" },
    { "variable",
      { "state_dir = \"/x/${HOME}\"" },
      "a.conf:1: ${...} is not taken: there are no variables here" },
    { "variable without quotes",
      { "state_dir = /x/${HOME}" },
      "a.conf:1: ${...} is not taken: there are no variables here" },
    { "code of a character",
      { "auth_realm = \"a\\0b\"" },
      "a.conf:1: a backslash may stand only before \\, \", ' or $" },
    { "control character", { "via = yes\n\001" }, "a.conf:2: there is a control character in it" },
    { "control in a string",
      { "auth_realm = \"\033[1m\"" },
      "a.conf:1: there is a control character in it" },
    { "control in a comment", { "# \a" }, "a.conf:1: there is a control character in it" },
    { "lone CR", { "via = yes\r" }, "a.conf:1: there is a control character in it" },
    { "no equals", { "via yes" }, "a.conf:1: missing equal sign after option 'via'" },
    { "no value", { "via =" }, "a.conf:1: premature end of file" },
    { "no title", { "site { }" }, "a.conf:1: missing title for section 'site'" },
    { "no brace",
      { "site \"x\" filter = no" },
      "a.conf:1: missing opening brace for section 'site'" },
    { "list for a scalar", { "via = { yes }" }, "a.conf:1: \"{\" does not belong here" },
    { "list without braces", { "connect_ports = 1, 2" }, "a.conf:1: \",\" does not belong here" },
    { "list without commas",
      { "connect_ports = { 1 2 }" },
      "a.conf:1: \"2\" does not belong here" },
    { "added to a scalar",
      { "via += yes" },
      "a.conf:1: attempt to append to non-list option 'via'" },

    // values
    { "switch", { "filter = 1" }, "a.conf:1: filter: \"1\" is not yes or no" },
    { "count", { "workers = many" }, "a.conf:1: workers: \"many\" is not a whole number" },
    { "count, negative", { "workers = -1" }, "a.conf:1: workers: \"-1\" is not a whole number" },
    { "count, hexadecimal",
      { "workers = 0x10" },
      "a.conf:1: workers: \"0x10\" is not a whole number" },
    { "count, above",
      { "workers = 257" },
      "a.conf:1: workers: \"257\" is out of range (0 to 256)" },
    { "count, below",
      { "connections_per_origin = 0" },
      "a.conf:1: connections_per_origin: \"0\" is out of range (1 to 65535)" },
    { "count, far above",
      { "workers = 18446744073709551616" },
      "a.conf:1: workers: \"18446744073709551616\" is not a whole number" },
    { "duration",
      { "connect_timeout = soon" },
      "a.conf:1: connect_timeout: \"soon\" is not a duration such as 300ms, 10s, 5m, 1h or 2d" },
    { "duration, above",
      { "connect_timeout = 601" },
      "a.conf:1: connect_timeout: \"601\" is out of range (1ms to 10m)" },
    { "duration, below",
      { "connect_timeout = 0s" },
      "a.conf:1: connect_timeout: \"0s\" is out of range (1ms to 10m)" },
    { "duration, overflow",
      { "connect_timeout = 213503982335d" },
      "a.conf:1: connect_timeout: \"213503982335d\" is not a duration such as 300ms, 10s, 5m, 1h "
      "or 2d" },
    { "choice",
      { "log_level = loud" },
      "a.conf:1: log_level: \"loud\" is none of error, warning, notice, info, debug" },
    { "listener",
      { "listen = 8119" },
      "a.conf:1: listen: \"8119\" is not an address and port such as 127.0.0.1:8119 or "
      "[::1]:8119" },
    { "destination",
      { "allow_destinations = { \"localhost:80\" }" },
      "a.conf:1: allow_destinations: \"localhost:80\" is not an address range such as 10.0.0.0/8, "
      "127.0.0.1:8000-8099 or [::1]:80" },
    { "ports",
      { "connect_ports += 0" },
      "a.conf:1: connect_ports: \"0\" is not a port or range of ports such as 443 or 8000-8999" },
    { "path",
      { "state_dir = lib/dejunk" },
      "a.conf:1: state_dir: \"lib/dejunk\" is not an absolute path such as /var/lib/dejunk" },
    { "wildcard",
      { "private_names = http://x/" },
      "a.conf:1: private_names: \"http://x/\" is not a host pattern in ASCII such as "
      "\"*.example.com\"" },
    { "wildcard not in ASCII",
      { "site \"b\xc3\xbc.example\" { }" },
      "a.conf:1: site: \"b\\xc3\\xbc.example\" is not a host pattern in ASCII such as "
      "\"*.example.com\"" },
    { "parent",
      { "parent \"x\" {\n url = \"https://x:1\" }" },
      "a.conf:2: url: \"https://x:1\" is not a proxy such as http://10.0.0.1:3128 or "
      "socks5://127.0.0.1:9050" },
    { "password in the clear",
      { "user \"x\" {\n password = \"secret\"\n}" },
      "a.conf:2: password is not a good password hash; make one with: dejunk passwd" },
    { "user with a colon",
      { "user \"a:b\" { }" },
      "a.conf:1: user: \"a:b\" is not a user name of 1 to 255 characters without a colon" },
    { "policy",
      { "policy \"images\" { }" },
      "a.conf:1: policy: \"images\" is not one of connect, image, cookie" },
    { "policy's default",
      { "policy \"image\" { default = maybe }" },
      "a.conf:1: default: \"maybe\" is none of accept, reject" },
    { "client with a bad range",
      { "client \"10.0.0.0/8:1\" { }" },
      "a.conf:1: client: \"10.0.0.0/8:1\" is not an address, a range such as 192.168.1.0/24 or a "
      "user name" },

    // the whole
    { "user without password",
      { "via = yes\nuser \"a\" {\n}" },
      "a.conf:2: user \"a\" needs the option password" },
    { "parent without url",
      { "", "\nparent \"p\" { for = \"x\" }" },
      "b.conf:2: parent \"p\" needs the option url" },
    { "list without file",
      { "list \"l\" { trusted = yes }\nlist \"l\" { enabled = no }" },
      "a.conf:1: list \"l\" needs the option file" },
    { "open to all",
      { "\nlisten = { \"127.0.0.1:1\",\n  \"192.168.1.2:8119\",\n \"[::]:1\" }" },
      "a.conf:3: 192.168.1.2:8119 is not loopback, and anybody could use it: add "
      "allow = {\"192.168.0.0/16\"} with your clients' addresses, or a user section" },
    { "open to all, by addition",
      { "", "listen += \"[fd00::1]:8119\"" },
      "b.conf:1: [fd00::1]:8119 is not loopback, and anybody could use it: add "
      "allow = {\"192.168.0.0/16\"} with your clients' addresses, or a user section" },
    { "open after the list of clients was emptied",
      { "listen = 0.0.0.0:1\nallow = \"10.0.0.0/8\"", "allow = {}" },
      "a.conf:1: 0.0.0.0:1 is not loopback, and anybody could use it: add "
      "allow = {\"192.168.0.0/16\"} with your clients' addresses, or a user section" },
    { "the first of two", { "via = 1\nfilter = 2" }, "a.conf:1: via: \"1\" is not yes or no" },
};

static void tells_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        struct config *config = NULL;
        struct error error = { 0 };

        if (parse(&config, mistakes[i].texts, &error) != ERROR_CONFIG)
            fail_msg("%s: no error", mistakes[i].name);
        if (error.kind != ERROR_CONFIG || strcmp(error.text, mistakes[i].want) != 0)
            fail_msg("%s: %s", mistakes[i].name, error.text);
        assert_null(config);
    }
}

/* ---- values ---- */

static void show_texts(const struct config_texts *texts, char *to, size_t size)
{
    size_t used = 0;

    to[0] = '\0';
    for (size_t i = 0; i < texts->count; i++)
        used += (size_t)snprintf(to + used, size - used, "%s%.*s", i ? ", " : "",
                                 SPAN_PRINT(texts->items[i]));
    assert_true(used < size);
}

static void show_value(const struct config_option *option, const char *record, char *to,
                       size_t size)
{
    static const char *const switches[] = { "unset", "no", "yes" };
    const void *member = record + option->offset;
    char duration[CONFIG_DURATION_BYTES];

    if (option->is_list)
        show_texts(member, to, size);
    else if (option->kind == CONFIG_SWITCH)
        snprintf(to, size, "%s", *(const bool *)member ? "yes" : "no");
    else if (option->kind == CONFIG_OVERRIDE)
        snprintf(to, size, "%s", switches[*(const enum config_switch *)member]);
    else if (option->kind == CONFIG_COUNT)
        snprintf(to, size, "%zu", *(const size_t *)member);
    else if (option->kind == CONFIG_DURATION)
        snprintf(to, size, "%s", config_write_duration(*(const uint64_t *)member, duration));
    else if (option->kind == CONFIG_CHOICE)
        snprintf(to, size, "%s", option->choices[*(const unsigned *)member]);
    else
        snprintf(to, size, "%.*s", SPAN_PRINT(*(const struct span *)member));
}

/* The record of `title` in a section, or NULL. */
static const char *record_of(const struct config *config, const struct config_section *section,
                             struct span title)
{
    const char *base = (const char *)config, *records;
    size_t count;

    if (!section->name)
        return base;
    if (section->title_kind == CONFIG_POLICY_NAME) {
        for (size_t i = 0; i < CONFIG_POLICIES; i++) {
            if (span_equal(title, span_text(config_policies()[i].title)))
                return base + config_policies()[i].offset;
        }
        return NULL;
    }
    if (section->title_kind == CONFIG_UNTITLED)
        return base + section->records_offset;
    memcpy(&records, base + section->records_offset, sizeof records);
    memcpy(&count, base + section->count_offset, sizeof count);
    for (size_t i = 0; i < count; i++) {
        if (span_equal(title,
                       *(const struct span *)(const void *)(records + i * section->record_size)))
            return records + i * section->record_size;
    }
    return NULL;
}

/* What an option came to: "via", or "site/TITLE/filter". */
static const char *show(const struct config *config, const char *path, char *to, size_t size)
{
    struct span rest = span_text(path), section_name = SPAN_NONE, title = SPAN_NONE;
    size_t slash = span_find_byte(rest, '/'), last = rest.size;

    if (slash < rest.size) {
        while (rest.at[last - 1] != '/')
            last--;
        section_name = span_slice(rest, 0, slash);
        title = span_slice(rest, slash + 1, last - slash - 2);
        rest = span_from(rest, last);
    }
    for (size_t i = 0; i < CONFIG_SECTIONS; i++) {
        const struct config_section *section = &config_sections()[i];

        if (!span_equal(section_name, span_text(section->name)))
            continue;
        for (size_t j = 0; j < section->option_count; j++) {
            const struct config_option *option = &section->options[j];
            const char *record = record_of(config, section, title);

            if (!span_equal(rest, span_text(option->name)))
                continue;
            if (!record)
                return "no such section";
            show_value(option, record, to, size);
            return to;
        }
    }
    return "no such option";
}

static const struct {
    const char *name;
    const char *texts[TEXTS];
    const char *option, *want;
} values[] = {
    { "default", { NULL }, "listen", "127.0.0.1:8119" },
    { "default list", { "" }, "connect_ports", "443, 80" },
    { "comments only", { "# a\n// b\n/* c */" }, "via", "yes" },
    { "comment behind the last line", { "via = no # x" }, "via", "no" },
    { "switches", { "via = OFF" }, "via", "no" },
    { "switches, true", { "via = no\nvia = True" }, "via", "yes" },
    { "count at its least", { "workers = 0" }, "workers", "0" },
    { "count at its most", { "workers = 256" }, "workers", "256" },
    { "count in quotes", { "workers = \"007\"" }, "workers", "7" },
    { "duration without a unit", { "connect_timeout = 90" }, "connect_timeout", "90s" },
    { "duration with a blank", { "connect_timeout = \"300 ms\"" }, "connect_timeout", "300ms" },
    { "duration at its most", { "connect_timeout = 10m" }, "connect_timeout", "10m" },
    { "duration at its least", { "connect_timeout = 1ms" }, "connect_timeout", "1ms" },
    { "no duration", { "drain = 0" }, "drain", "0s" },
    { "choice", { "log_level = DEBUG" }, "log_level", "debug" },
    { "choice, default", { "" }, "access_log", "off" },
    { "intercept, default", { "" }, "intercept", "enrolled" },
    { "intercept", { "intercept = none" }, "intercept", "none" },
    { "leaf rate, default", { "" }, "leaf_rate", "50" },
    { "leaf rate, no limit", { "leaf_rate = 0" }, "leaf_rate", "0" },
    { "extra_ca", { "extra_ca = {/a.pem, /b.pem}" }, "extra_ca", "/a.pem, /b.pem" },
    { "site, extra_ca", { "site \"*.x\" { extra_ca = {/a.pem} }" }, "site/*.x/extra_ca", "/a.pem" },
    { "ca", { "ca { certificate = /c.pem key = /k.pem }" }, "ca//key", "/k.pem" },
    { "ca, in two parts",
      { "ca { certificate = /c.pem }", "ca { key = /k.pem }" },
      "ca//certificate",
      "/c.pem" },
    { "ca, none", { "" }, "ca//key", "" },
    { "single quotes", { "auth_realm = 'a b'" }, "auth_realm", "a b" },
    { "escapes", { "state_dir = \"/a\\\"\\\\\\$\\'b\"" }, "state_dir", "/a\"\\$'b" },
    { "backslash in single quotes", { "state_dir = '/a\\b'" }, "state_dir", "/a\\b" },
    { "UTF-8 path", { "state_dir = /d\xc3\xa9" }, "state_dir", "/d\xc3\xa9" },
    { "two slashes in a word", { "parent p { url = http://h:1 }" }, "parent/p/url", "http://h:1" },
    { "all on one line", { "via = no gpc = no" }, "gpc", "no" },

    { "list", { "allow = {\"10.0.0.0/8\", 'fd00::/8',}" }, "allow", "10.0.0.0/8, fd00::/8" },
    { "list over lines",
      { "connect_ports = { # web\n 443, /* old */ 80,\n 8000-8999 }" },
      "connect_ports",
      "443, 80, 8000-8999" },
    { "list of one without braces", { "connect_ports = 1" }, "connect_ports", "1" },
    { "added to the default", { "connect_ports += { 8443 }" }, "connect_ports", "443, 80, 8443" },
    { "added twice",
      { "connect_ports += 1\nconnect_ports += 2" },
      "connect_ports",
      "443, 80, 1, 2" },
    { "replaced twice", { "connect_ports = 1\nconnect_ports = 2" }, "connect_ports", "2" },
    { "replaced and added to",
      { "connect_ports = 1\nconnect_ports += 2" },
      "connect_ports",
      "1, 2" },
    { "emptied", { "connect_ports = {}" }, "connect_ports", "" },
    { "emptied after all", { "connect_ports = 1\nconnect_ports = {}" }, "connect_ports", "" },
    { "emptied and added to", { "connect_ports = {}\nconnect_ports += 1" }, "connect_ports", "1" },
    { "nothing added", { "connect_ports += {}" }, "connect_ports", "443, 80" },

    { "later scalar wins", { "via = no", "via = yes" }, "via", "yes" },
    { "later silence does not", { "via = no", "gpc = no" }, "via", "no" },
    { "setting wins", { "via = no", "via = no", "via=\"yes\"" }, "via", "yes" },
    { "later list replaces",
      { "connect_ports = { 1, 2 }", "connect_ports = 3" },
      "connect_ports",
      "3" },
    { "later list adds",
      { "connect_ports = { 1, 2 }", "connect_ports += { 3, 4 }" },
      "connect_ports",
      "1, 2, 3, 4" },
    { "later list empties", { "connect_ports = 1", "connect_ports = {}" }, "connect_ports", "" },
    { "later source says nothing", { "connect_ports = 1", "" }, "connect_ports", "1" },

    { "site", { "site \"*.x\" { filter = no }" }, "site/*.x/filter", "no" },
    { "site, not said", { "site \"*.x\" { filter = no }" }, "site/*.x/intercept", "unset" },
    { "site, nothing in it", { "site \"*.x\" { }" }, "site/*.x/gpc", "unset" },
    { "site, opened again",
      { "site x { filter = no }\nsite x { gpc = no }" },
      "site/x/filter",
      "no" },
    { "site, extended",
      { "site x { filter = no }", "site x { gpc = yes }" },
      "site/x/filter",
      "no" },
    { "site, overridden",
      { "site x { filter = no }", "site x { filter = yes }" },
      "site/x/filter",
      "yes" },
    { "fifth of its kind",
      { "site a {}\nsite b {}\nsite c {}\nsite d {}\nsite e { gpc = no }\n"
        "site a { gpc = yes }" },
      "site/a/gpc",
      "yes" },
    { "client, range",
      { "client \"10.0.0.0/8\" { filter = no }" },
      "client/10.0.0.0/8/filter",
      "no" },
    { "client, name", { "client alice { intercept = no }" }, "client/alice/intercept", "no" },
    { "list's defaults", { "list l { file = /x }" }, "list/l/enabled", "yes" },
    { "list switched off later",
      { "list l { file = /x }", "list l { enabled = no }" },
      "list/l/enabled",
      "no" },
    { "list keeps its file",
      { "list l { file = /x }", "list l { enabled = no }" },
      "list/l/file",
      "/x" },
    { "list's file comes later",
      { "list l { trusted = yes }", "list l { file = /y }" },
      "list/l/file",
      "/y" },
    { "parent",
      { "parent p { url = \"socks5://u:p@[::1]:9\" for = { \"*.a\", b } }" },
      "parent/p/for",
      "*.a, b" },
    { "parent's list extended",
      { "parent p { url = http://h:1 for = a }", "parent p { for += b }" },
      "parent/p/for",
      "a, b" },
    { "parent's list replaced",
      { "parent p { url = http://h:1 for = a }", "parent p { for = b }" },
      "parent/p/for",
      "b" },
    { "parent's list emptied",
      { "parent p { url = http://h:1 for = a }", "parent p { for = {} }" },
      "parent/p/for",
      "" },
    { "parent's other list kept",
      { "parent p { url = http://h:1 for = a }", "parent p { except = c }" },
      "parent/p/for",
      "a" },
    { "policy, untouched", { "" }, "policy/cookie/default", "accept" },
    { "policy", { "policy cookie { default = reject }" }, "policy/cookie/default", "reject" },
    { "policy's list",
      { "policy image { reject = { \"*.x\", y } }", "policy image { reject += z }" },
      "policy/image/reject",
      "*.x, y, z" },
    { "user", { USER }, "user/a/password", HASH },
    { "open to all, with users", { "listen = 0.0.0.0:8119\n" USER }, "listen", "0.0.0.0:8119" },
    { "open to a range", { "listen = \"[::]:0\"", "allow = 10.0.0.0/8" }, "listen", "[::]:0" },
    { "no longer open", { "listen = 0.0.0.0:1", "listen = 127.3.2.1:1" }, "listen", "127.3.2.1:1" },
    { "only passed sockets", { "listen = {}" }, "listen", "" },
};

static void gives_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct config *config = NULL;
        struct error error = { 0 };
        char got[1000];

        if (parse(&config, values[i].texts, &error))
            fail_msg("%s: %s", values[i].name, error.text);
        if (strcmp(show(config, values[i].option, got, sizeof got), values[i].want) != 0)
            fail_msg("%s: %s is %s", values[i].name, values[i].option, got);
        config_unref(&config);
        assert_null(config);
    }
}

/* Every default of the table is what an empty config gives. */
static void gives_defaults(void **state)
{
    struct config *config = NULL;
    const struct config_section *top = config_sections();

    (void)state;
    assert_int_equal(parse(&config, (const char *const[TEXTS]){ NULL }, NULL), ERROR_NONE);
    for (size_t i = 0; i < top->option_count; i++) {
        char got[1000];

        show_value(&top->options[i], (const char *)config, got, sizeof got);
        if (top->options[i].kind == CONFIG_DURATION) {
            uint64_t ms;
            char standard[CONFIG_DURATION_BYTES];

            assert_true(config_read_duration(span_text(top->options[i].standard), &ms));
            assert_string_equal(got, config_write_duration(ms, standard));
        } else {
            assert_string_equal(got, top->options[i].standard ? top->options[i].standard : "");
        }
        assert_true(!top->options[i].standard != !top->options[i].standard_words);
    }
    assert_int_equal(config->connect_timeout_ms, 10000);
    assert_int_equal(config->tunnel_idle_timeout_ms, 3600000);
    config_unref(&config);
}

static void is_shared(void **state)
{
    struct config *config = NULL, *other;

    (void)state;
    assert_int_equal(parse(&config, (const char *const[TEXTS]){ "via = no" }, NULL), ERROR_NONE);
    other = config;
    config_ref(config);
    config_unref(&config);
    assert_null(config);
    assert_false(other->via);
    config_unref(&other);
    config_unref(&other); // nothing there: nothing happens
}

/* A list with `count` entries, all in one line, or as many sections. */
static char *many(size_t count, const char *head, const char *entry, const char *tail)
{
    size_t size = strlen(head) + count * (strlen(entry) + 8) + strlen(tail) + 1, used;
    char *text = malloc(size);

    assert_non_null(text);
    used = (size_t)snprintf(text, size, "%s", head);
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, size - used, entry, i);
    snprintf(text + used, size - used, "%s", tail);
    return text;
}

/* Each option that is a number takes what its row says, and not one more or less. */
static void every_range_holds(void **state)
{
    const struct config_section *top = &config_sections()[0];
    size_t seen = 0;

    (void)state;
    for (size_t i = 0; i < top->option_count; i++) {
        const struct config_option *option = &top->options[i];
        const uint64_t numbers[] = { option->least - 1, option->least, option->most,
                                     option->most + 1 };
        char range[CONFIG_RANGE_BYTES], want[200], text[100];

        if (option->kind != CONFIG_COUNT && option->kind != CONFIG_DURATION)
            continue;
        seen++;
        assert_true(option->least < option->most && option->most < UINT64_MAX);
        for (size_t k = option->least ? 0 : 1; k < sizeof numbers / sizeof *numbers; k++) {
            const char *unit = option->kind == CONFIG_DURATION ? "ms" : "";
            struct config *config = NULL;
            struct error error = { 0 };

            snprintf(text, sizeof text, "%s = %llu%s", option->name, (unsigned long long)numbers[k],
                     unit);
            snprintf(want, sizeof want, "a.conf:1: %s: \"%llu%s\" is out of range (%s)",
                     option->name, (unsigned long long)numbers[k], unit,
                     config_write_range(option, range));
            if (parse(&config, (const char *const[TEXTS]){ text }, &error)) {
                if (k == 1 || k == 2 || strcmp(error.text, want) != 0)
                    fail_msg("%s: %s", text, error.text);
            } else if (k == 0 || k == 3) {
                fail_msg("%s is taken", text);
            }
            config_unref(&config);
        }
    }
    assert_true(seen > 0);
    for (size_t i = 1; i < CONFIG_SECTIONS; i++)
        for (size_t k = 0; k < config_sections()[i].option_count; k++) {
            enum config_kind kind = config_sections()[i].options[k].kind;
            assert_true(kind != CONFIG_COUNT && kind != CONFIG_DURATION); // else they belong here
        }
}

static void limits_entries_and_sections(void **state)
{
    static const struct {
        const char *head, *entry, *tail, *want;
    } rows[] = {
        { "private_names = {", "h%zu,", "}", "a.conf:1: private_names: more than 10000 entries" },
        { "", "site h%zu {}\n", "", "a.conf:10001: more than 10000 sections of site" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t over = 0; over < 2; over++) {
            char *text =
                many(CONFIG_LIST_ENTRIES + over, rows[i].head, rows[i].entry, rows[i].tail);
            struct config *config = NULL;
            struct error error;
            enum error_kind kind = parse(&config, (const char *const[TEXTS]){ text }, &error);

            assert_int_equal(kind, over ? ERROR_CONFIG : ERROR_NONE);
            if (over)
                assert_string_equal(error.text, rows[i].want);
            else
                assert_int_equal(i ? config->site_count : config->private_names.count,
                                 CONFIG_LIST_ENTRIES);
            config_unref(&config);
            free(text);
        }
    }
}

static void limits_a_source(void **state)
{
    char *text = malloc(CONFIG_SOURCE_BYTES + 2);

    (void)state;
    assert_non_null(text);
    for (size_t size = CONFIG_SOURCE_BYTES; size <= CONFIG_SOURCE_BYTES + 1; size++) {
        struct config *config = NULL;
        struct error error;

        memset(text, ' ', size);
        text[size] = '\0';
        if (size == CONFIG_SOURCE_BYTES) {
            assert_int_equal(parse(&config, (const char *const[TEXTS]){ text }, &error),
                             ERROR_NONE);
        } else {
            assert_int_equal(parse(&config, (const char *const[TEXTS]){ text }, &error),
                             ERROR_CONFIG);
            assert_string_equal(error.text, "a.conf:1: larger than 1048576 bytes");
        }
        config_unref(&config);
    }
    free(text);
}

/* Of a long path the end is shown, so that there is room for the reason. */
static void shortens_long_paths(void **state)
{
    char name[1001], want[600];
    struct config_source item = { span_of(name, 1000), SPAN("via = x") };
    const struct config_sources sources = { .items = &item, .count = 1 };
    struct config *config;
    struct error error;

    (void)state;
    memset(name, '/', 1000);
    name[1000] = '\0';
    assert_int_equal(config_parse(&config, &sources, &error), ERROR_CONFIG);
    snprintf(want, sizeof want, "...%s:1: via: \"x\" is not yes or no", name + 800);
    assert_string_equal(error.text, want);
    item.name = span_of(name, 200);
    assert_int_equal(config_parse(&config, &sources, &error), ERROR_CONFIG);
    assert_string_equal(error.text, want + 3);
}

/* An error leaves libconfuse's scanner, which is one for the process, fit for the next text. */
static void recovers_from_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        struct config *config = NULL;
        struct error error;

        parse(&config, mistakes[i].texts, &error);
        assert_int_equal(parse(&config, (const char *const[TEXTS]){ "via = no" }, &error),
                         ERROR_NONE);
        assert_false(config->via);
        config_unref(&config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_mistakes),         cmocka_unit_test(gives_values),
        cmocka_unit_test(gives_defaults),         cmocka_unit_test(is_shared),
        cmocka_unit_test(every_range_holds),      cmocka_unit_test(limits_entries_and_sections),
        cmocka_unit_test(limits_a_source),        cmocka_unit_test(shortens_long_paths),
        cmocka_unit_test(recovers_from_mistakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
