#include "state/config_table.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "state/config.h"
#include "state/config_value.h"

#define MS(number) UINT64_C(number)
#define MINUTES(number) (UINT64_C(60000) * (number))
#define HOURS(number) (MINUTES(60) * (number))
#define DAYS(number) (HOURS(24) * (number))

#define AT(member) .offset = offsetof(struct config, member)
#define IN(record, member) .offset = offsetof(struct config_##record, member)

static const char *const access_logs[] = { "off", "combined", "json", NULL };
static const char *const recodes[] = { "none", "gzip", "zstd", NULL };
static const char *const log_levels[] = { "error", "warning", "notice", "info", "debug", NULL };
static const char *const intercept_modes[] = { "enrolled", "all", "none", NULL };
static const char *const strips[] = { "hide", "hollow", "remove", NULL };
static const char *const site_strips[] = { "same", "hide", "hollow", "remove", NULL };
static const char *const policy_answers[] = { "accept", "reject", NULL };

static const struct config_option top_options[] = {
    { .name = "listen",
      .kind = CONFIG_LISTENER,
      .is_list = true,
      AT(listen),
      .standard = "127.0.0.1:8119",
      .heading = "Who may come in",
      .meaning = "Addresses and ports that browsers connect to. An address that is not loopback "
                 "needs an allow list or a user section, so that this is no open proxy.",
      .example = "{\"127.0.0.1:8119\", \"192.168.1.2:8119\"}" },
    { .name = "allow",
      .kind = CONFIG_BLOCK,
      .is_list = true,
      AT(allow),
      .standard_words = "loopback, as long as there are no users",
      .meaning = "Clients that may use the proxy without a password. Where there are user "
                 "sections, all others give one, loopback too; where there are none, all others "
                 "but loopback are turned away.",
      .example = "{\"192.168.1.0/24\", \"fd00::/8\"}" },
    { .name = "auth_realm",
      .kind = CONFIG_PLAIN_TEXT,
      AT(auth_realm),
      .standard = "dejunk",
      .meaning = "The name that browsers show when they ask for a password." },
    { .name = "client_connections",
      .kind = CONFIG_COUNT,
      .unit = "connections",
      AT(client_connections),
      .least = 1,
      .most = 1000000,
      .standard = "256",
      .meaning = "Connections that one client address may have open, for each worker. Loopback "
                 "is exempt." },
    { .name = "reuse_port",
      .kind = CONFIG_SWITCH,
      AT(reuse_port),
      .standard = "no",
      .meaning = "Give each worker a listening socket of its own (SO_REUSEPORT) instead of one "
                 "that all share." },

    { .name = "connect_ports",
      .kind = CONFIG_PORTS,
      .is_list = true,
      AT(connect_ports),
      .standard = "443, 80",
      .heading = "Where a request may go",
      .meaning = "Where CONNECT may go, which browsers use for https, ws and wss.",
      .example = "{443, 80, 8443, 8000-8099}" },
    { .name = "allow_destinations",
      .kind = CONFIG_DESTINATION,
      .is_list = true,
      AT(allow_destinations),
      .standard_words = "no exceptions",
      .meaning = "Where requests may go although such addresses are refused otherwise: loopback, "
                 "link-local, multicast and unspecified ones. Nothing allows dejunk's own "
                 "listeners.",
      .example = "{\"127.0.0.1:3000\", \"127.0.0.0/8:18000-18099\", \"[::1]:3000\"}" },
    { .name = "private_names",
      .kind = CONFIG_WILDCARD,
      .is_list = true,
      AT(private_names),
      .standard_words = "no exceptions",
      .meaning = "Public names that may have private addresses. Names under .local, .lan, "
                 ".home.arpa and .internal and names without a dot always may; for all others it "
                 "is refused, because pages use it to reach into your network (DNS rebinding).",
      .example = "{\"*.corp.example\"}" },

    { .name = "via",
      .kind = CONFIG_SWITCH,
      AT(via),
      .standard = "yes",
      .heading = "Relaying",
      .meaning = "Add a Via header to requests and responses, under a pseudonym made at "
                 "installation. Without it, requests that come back to the proxy in a circle are "
                 "not noticed." },
    { .name = "workers",
      .kind = CONFIG_COUNT,
      .unit = "processes",
      AT(workers),
      .least = 0,
      .most = 256,
      .standard = "0",
      .meaning = "Worker processes. 0 means one for each processor that dejunk may run on." },
    { .name = "connections_per_origin",
      .kind = CONFIG_COUNT,
      .unit = "connections",
      AT(connections_per_origin),
      .least = 1,
      .most = 65535,
      .standard = "256",
      .meaning = "Connections to one server, for each worker. Further requests wait in line." },
    { .name = "connections_total",
      .kind = CONFIG_COUNT,
      .unit = "connections",
      AT(connections_total),
      .least = 1,
      .most = 1000000,
      .standard = "4096",
      .meaning = "Connections to all servers together, for each worker. Further requests wait in "
                 "line." },
    { .name = "idle_per_origin",
      .kind = CONFIG_COUNT,
      .unit = "connections",
      AT(idle_per_origin),
      .least = 0,
      .most = 65535,
      .standard = "32",
      .meaning = "Idle connections to one server that are kept for the next request, for each "
                 "worker." },
    { .name = "idle_total",
      .kind = CONFIG_COUNT,
      .unit = "connections",
      AT(idle_total),
      .least = 0,
      .most = 1000000,
      .standard = "512",
      .meaning = "Idle connections to all servers together that are kept, for each worker." },

    { .name = "connect_timeout",
      .kind = CONFIG_DURATION,
      AT(connect_timeout_ms),
      .least = MS(1),
      .most = MINUTES(10),
      .standard = "10s",
      .heading = "Time limits",
      .meaning = "For a connection to a server: looking up its name, connecting, and a parent "
                 "proxy's answer, all together." },
    { .name = "request_header_timeout",
      .kind = CONFIG_DURATION,
      AT(request_header_timeout_ms),
      .least = MS(1),
      .most = HOURS(1),
      .standard = "20s",
      .meaning = "For a browser to send the whole header of a request, from its first byte." },
    { .name = "response_header_timeout",
      .kind = CONFIG_DURATION,
      AT(response_header_timeout_ms),
      .least = MS(1),
      .most = DAYS(1),
      .standard = "300s",
      .meaning = "For a server to begin its answer after the request was sent." },
    { .name = "idle_body_timeout",
      .kind = CONFIG_DURATION,
      AT(idle_body_timeout_ms),
      .least = MS(1),
      .most = DAYS(1),
      .standard = "300s",
      .meaning = "Inside a body, in either direction, in which nothing moves." },
    { .name = "keep_alive_timeout",
      .kind = CONFIG_DURATION,
      AT(keep_alive_timeout_ms),
      .least = MS(1),
      .most = HOURS(1),
      .standard = "30s",
      .meaning = "Between two requests on a browser's connection." },
    { .name = "pool_idle_timeout",
      .kind = CONFIG_DURATION,
      AT(pool_idle_timeout_ms),
      .least = MS(1),
      .most = HOURS(1),
      .standard = "30s",
      .meaning = "How long an idle connection to a server is kept for the next request." },
    { .name = "tunnel_idle_timeout",
      .kind = CONFIG_DURATION,
      AT(tunnel_idle_timeout_ms),
      .least = MS(1),
      .most = DAYS(7),
      .standard = "1h",
      .meaning = "Inside a tunnel, a WebSocket or an event stream in which nothing moves." },
    { .name = "drain",
      .kind = CONFIG_DURATION,
      AT(drain_ms),
      .least = 0,
      .most = DAYS(1),
      .standard = "10s",
      .meaning = "How long exchanges and tunnels may go on after the order to stop." },

    { .name = "filter",
      .kind = CONFIG_SWITCH,
      AT(filter),
      .standard = "yes",
      .heading = "Filtering",
      .meaning = "Block by lists, rules and policies. With no, everything is only relayed." },
    { .name = "gpc",
      .kind = CONFIG_SWITCH,
      AT(gpc),
      .standard = "yes",
      .meaning = "Add Sec-GPC: 1 to requests, which tells sites not to sell or share what they "
                 "learn. Some laws bind them to it." },
    { .name = "strip",
      .kind = CONFIG_CHOICE,
      AT(strip),
      .choices = strips,
      .standard = "hide",
      .meaning = "What becomes of the elements of a page that rules want hidden. hide: they stay "
                 "and are not shown. hollow: they stay, hidden and without their content, which "
                 "saves what it would load; pages that compare their elements with what a script "
                 "expects may complain. remove: they go." },
    { .name = "remove_blocked",
      .kind = CONFIG_SWITCH,
      AT(remove_blocked),
      .standard = "yes",
      .meaning = "Take elements out of a page that would load what is blocked (images, scripts, "
                 "frames and their like), so that the browser does not ask for it. With no, it "
                 "asks and is refused, and the page's script is told of an error." },
    { .name = "rules_dir",
      .kind = CONFIG_PATH,
      AT(rules_dir),
      .standard_words = "/etc/dejunk/rules.d, or rules.d beside a user's own proxy.conf",
      .meaning = "Directory of your own rules: every file in it that ends in .txt is read as a "
                 "filter list.",
      .example = "/etc/dejunk/rules.d" },
    { .name = "unfiltered_hosts",
      .kind = CONFIG_PATH,
      AT(unfiltered_hosts),
      .standard_words = "the list that is installed with dejunk",
      .meaning = "File of hosts that are never filtered, one to a line: those by which systems "
                 "test whether they are online or behind a captive portal.",
      .example = "/etc/dejunk/unfiltered-hosts" },

    { .name = "intercept",
      .kind = CONFIG_CHOICE,
      AT(intercept),
      .choices = intercept_modes,
      .standard = "enrolled",
      .heading = "Looking inside https",
      .meaning = "Whose https is opened, so that pages are filtered and not only hosts: clients "
                 "that were enrolled (dejunk ca enrol) because they trust the authority of this "
                 "installation, all clients, or none. All others pass through as they are." },
    { .name = "no_intercept",
      .kind = CONFIG_PATH,
      AT(no_intercept),
      .standard_words = "the list that is installed with dejunk",
      .meaning = "File of hosts whose https is never opened, one to a line, each with all below "
                 "it: banks, health, government, updates, and apps known to refuse it.",
      .example = "/etc/dejunk/no-intercept" },
    { .name = "extra_ca",
      .kind = CONFIG_PATH,
      .is_list = true,
      AT(extra_ca),
      .standard_words = "none",
      .meaning = "Files of certificates (PEM) that are trusted for servers besides the system's, "
                 "such as a company's own authority.",
      .example = "{\"/etc/dejunk/company.pem\"}" },
    { .name = "leaf_rate",
      .kind = CONFIG_COUNT,
      .unit = "certificates a second",
      AT(leaf_rate_per_s),
      .least = 0,
      .most = 1000000,
      .standard = "50",
      .meaning = "Certificates that a worker may have signed. Each host needs one a week at most. "
                 "0 means no limit." },
    { .name = "leaf_burst",
      .kind = CONFIG_COUNT,
      .unit = "certificates",
      AT(leaf_burst),
      .least = 1,
      .most = 1000000,
      .standard = "500",
      .meaning = "Certificates that a worker may have signed at once, after a quiet time." },

    { .name = "recode",
      .kind = CONFIG_CHOICE,
      AT(recode),
      .choices = recodes,
      .standard = "gzip",
      .heading = "Changing what servers answer",
      .meaning = "How a changed response is compressed for browsers on other machines; gzip in "
                 "place of zstd for those that do not take it. Browsers on this machine get it "
                 "uncompressed. What is not changed stays as the server compressed it." },
    { .name = "edit_time",
      .kind = CONFIG_DURATION,
      AT(edit_time_ms),
      .least = MS(1),
      .most = MINUTES(10),
      .standard = "2s",
      .meaning = "Time that may be spent on changing one response. Past this limit, and the next "
                 "two, the rest of it passes as it came, and a line in the log tells." },
    { .name = "edit_size",
      .kind = CONFIG_COUNT,
      .unit = "MB",
      AT(edit_size_mb),
      .least = 1,
      .most = 1000000,
      .standard = "64",
      .meaning = "How much of one response is looked at, uncompressed." },
    { .name = "edit_held",
      .kind = CONFIG_COUNT,
      .unit = "kB",
      AT(edit_held_kb),
      .least = 64,
      .most = 1000000,
      .standard = "16384",
      .meaning = "Memory that changing one response may take beside its compression." },
    { .name = "edit_memory",
      .kind = CONFIG_COUNT,
      .unit = "MB",
      AT(edit_memory_mb),
      .least = 1,
      .most = 1000000,
      .standard = "256",
      .meaning = "Memory for changing responses, with their compression, for each worker. While "
                 "three quarters of it are in use, further responses pass unchanged." },

    { .name = "log_level",
      .kind = CONFIG_CHOICE,
      AT(log_level),
      .choices = log_levels,
      .standard = "info",
      .heading = "Logs, files and directories",
      .meaning = "The least important messages that are written to standard error or the "
                 "journal." },
    { .name = "access_log",
      .kind = CONFIG_CHOICE,
      AT(access_log),
      .choices = access_logs,
      .standard = "off",
      .meaning = "A line for each finished exchange, in the combined format of web servers or as "
                 "JSON. Query strings, cookies and credentials are never written." },
    { .name = "access_log_file",
      .kind = CONFIG_PATH,
      AT(access_log_file),
      .standard_words = "standard output",
      .meaning = "File that the access log is appended to. It is opened anew on SIGUSR1.",
      .example = "/var/log/dejunk/access.log" },
    { .name = "resolv_conf",
      .kind = CONFIG_PATH,
      AT(resolv_conf),
      .standard = "/etc/resolv.conf",
      .meaning = "File that names the name servers. It is watched; a change is in force at "
                 "once." },
    { .name = "hosts_file",
      .kind = CONFIG_PATH,
      AT(hosts_file),
      .standard = "/etc/hosts",
      .meaning = "File of names with fixed addresses. It is watched too." },
    { .name = "state_dir",
      .kind = CONFIG_PATH,
      AT(state_dir),
      .standard_words = "/var/lib/dejunk, or $XDG_STATE_HOME/dejunk for a user",
      .meaning = "Directory of what must outlive the process: the compiled lists and what was "
                 "learned.",
      .example = "/var/lib/dejunk" },
    { .name = "runtime_dir",
      .kind = CONFIG_PATH,
      AT(runtime_dir),
      .standard_words = "/run/dejunk, or $XDG_RUNTIME_DIR/dejunk for a user",
      .meaning = "Directory of sockets and of what may be lost.",
      .example = "/run/dejunk" },
};

static const struct config_option user_options[] = {
    { .name = "password",
      .kind = CONFIG_PASSWORD,
      .is_required = true,
      IN(user, password_hash),
      .meaning = "As dejunk passwd prints it (see crypt(5))." },
};

static const struct config_option parent_options[] = {
    { .name = "url",
      .kind = CONFIG_PARENT,
      .is_required = true,
      IN(parent, url),
      .meaning = "The parent proxy: http://HOST:PORT or socks5://HOST:PORT, with USER:PASSWORD@ "
                 "before the host where it wants them, percent-encoded." },
    { .name = "for",
      .kind = CONFIG_WILDCARD,
      .is_list = true,
      IN(parent, for_hosts),
      .standard_words = "all hosts",
      .meaning = "Hosts that are reached through it." },
    { .name = "except",
      .kind = CONFIG_WILDCARD,
      .is_list = true,
      IN(parent, except_hosts),
      .standard_words = "no exceptions",
      .meaning = "Hosts that are not reached through it, although for names them." },
};

static const struct config_option list_options[] = {
    { .name = "file",
      .kind = CONFIG_PATH,
      .is_required = true,
      IN(list, file),
      .meaning = "The list: Adblock syntax or a hosts file." },
    { .name = "trusted",
      .kind = CONFIG_SWITCH,
      IN(list, trusted),
      .standard = "no",
      .meaning = "Take from it also rules that can do harm in wrong hands, such as those that "
                 "change headers or addresses." },
    { .name = "enabled",
      .kind = CONFIG_SWITCH,
      IN(list, enabled),
      .standard = "yes",
      .meaning = "Use it." },
};

static const struct config_option policy_options[] = {
    { .name = "reject",
      .kind = CONFIG_WILDCARD,
      .is_list = true,
      IN(policy, reject),
      .standard_words = "none",
      .meaning = "Hosts that are rejected." },
    { .name = "accept",
      .kind = CONFIG_WILDCARD,
      .is_list = true,
      IN(policy, accept),
      .standard_words = "none",
      .meaning = "Hosts that are accepted although reject names them." },
    { .name = "default",
      .kind = CONFIG_CHOICE,
      IN(policy, otherwise),
      .choices = policy_answers,
      .standard = "accept",
      .meaning = "What happens to hosts that neither list names." },
};

// One table for both: in their records, the members stand at the same places.
_Static_assert(offsetof(struct config_site, filter) == offsetof(struct config_client, filter) &&
                   offsetof(struct config_site, intercept) ==
                       offsetof(struct config_client, intercept) &&
                   offsetof(struct config_site, gpc) == offsetof(struct config_client, gpc),
               "site and client differ");
#define OVERRIDES                                                                                  \
    { .name = "filter",                                                                            \
      .kind = CONFIG_OVERRIDE,                                                                     \
      IN(site, filter),                                                                            \
      .standard_words = "as elsewhere",                                                            \
      .meaning = "Block by lists, rules and policies." },                                          \
        { .name = "intercept",                                                                     \
          .kind = CONFIG_OVERRIDE,                                                                 \
          IN(site, intercept),                                                                     \
          .standard_words = "as elsewhere",                                                        \
          .meaning =                                                                               \
              "Look inside https of who is enrolled, even where the list no_intercept names "      \
              "the host; no always passes it through." },                                          \
    {                                                                                              \
        .name = "gpc", .kind = CONFIG_OVERRIDE, IN(site, gpc), .standard_words = "as elsewhere",   \
        .meaning = "Add Sec-GPC: 1 to requests."                                                   \
    }

static const struct config_option client_options[] = { OVERRIDES };
static const struct config_option site_options[] = {
    OVERRIDES,
    { .name = "extra_ca",
      .kind = CONFIG_PATH,
      .is_list = true,
      IN(site, extra_ca),
      .standard_words = "none",
      .meaning = "Files of certificates (PEM) that are trusted for these hosts besides the "
                 "system's and the general extra_ca." },
    { .name = "strip",
      .kind = CONFIG_CHOICE,
      IN(site, strip),
      .choices = site_strips,
      .standard = "same",
      .meaning = "What becomes of elements that rules want hidden; same: as elsewhere." },
    { .name = "remove_blocked",
      .kind = CONFIG_OVERRIDE,
      IN(site, remove_blocked),
      .standard_words = "as elsewhere",
      .meaning = "Take elements out of a page that would load what is blocked." },
};

static const struct config_option ca_options[] = {
    { .name = "certificate",
      .kind = CONFIG_PATH,
      IN(ca, certificate),
      .standard_words = "one that is made here",
      .meaning = "File with the certificate of the authority (PEM), then those above it, if they "
                 "are to be sent along." },
    { .name = "key",
      .kind = CONFIG_PATH,
      IN(ca, key),
      .standard_words = "one that is made here",
      .meaning = "File with its key (PEM, without a passphrase), which nobody but the user that "
                 "dejunk runs as may read." },
};

#define OPTIONS(table) .options = (table), .option_count = sizeof(table) / sizeof *(table)
#define RECORDS(record, array, number)                                                             \
    .record_size = sizeof(struct config_##record),                                                 \
    .records_offset = offsetof(struct config, array),                                              \
    .count_offset = offsetof(struct config, number)

static const struct config_section sections[CONFIG_SECTIONS] = {
    { OPTIONS(top_options) },
    { .name = "user",
      .title_kind = CONFIG_USER_NAME,
      .title_words = "NAME",
      RECORDS(user, users, user_count),
      OPTIONS(user_options),
      .meaning = "Somebody who may use the proxy with a password. Once there is one, every client "
                 "that allow does not name must give a name and a password, loopback too.",
      .example = "user \"alice\" {\n    password = \"$y$j9T$...\"\n}" },
    { .name = "parent",
      .title_kind = CONFIG_PLAIN_TEXT,
      .title_words = "NAME",
      RECORDS(parent, parents, parent_count),
      OPTIONS(parent_options),
      .meaning = "A proxy that requests are passed on to. The first section that fits the host "
                 "is taken; without one, the host is reached directly.",
      .example = "parent \"tor\" {\n    url = \"socks5://127.0.0.1:9050\"\n"
                 "    for = {\"*.onion\"}\n}" },
    { .name = "list",
      .title_kind = CONFIG_PLAIN_TEXT,
      .title_words = "NAME",
      RECORDS(list, lists, list_count),
      OPTIONS(list_options),
      .meaning = "A filter list. Its name is what block pages and logs call it.",
      .example = "list \"easylist\" {\n    file = \"/etc/dejunk/lists/easylist.txt\"\n}" },
    { .name = "policy",
      .title_kind = CONFIG_POLICY_NAME,
      .title_words = "WHAT",
      .record_size = sizeof(struct config_policy),
      OPTIONS(policy_options),
      .meaning = "What happens by host alone, whatever the lists say. WHAT is connect (the host "
                 "may not be reached at all), image (its images are dropped) or cookie (its "
                 "Set-Cookie headers are dropped).",
      .example = "policy \"cookie\" {\n    reject = {\"*.tracker.example\"}\n"
                 "    accept = {\"login.tracker.example\"}\n}" },
    { .name = "site",
      .title_kind = CONFIG_WILDCARD,
      .title_words = "PATTERN",
      RECORDS(site, sites, site_count),
      OPTIONS(site_options),
      .meaning = "What is different for hosts that fit the pattern. Where several sections fit, "
                 "later ones win.",
      .example = "site \"*.bank.example\" {\n    filter = no\n    intercept = no\n}" },
    { .name = "client",
      .title_kind = CONFIG_CLIENT,
      .title_words = "WHO",
      RECORDS(client, clients, client_count),
      OPTIONS(client_options),
      .meaning = "What is different for a client: an address, a range of addresses or a user's "
                 "name. Where several sections fit, later ones win.",
      .example = "client \"192.168.1.40\" {\n    filter = no\n}" },
    { .name = "ca",
      .title_kind = CONFIG_UNTITLED,
      .record_size = sizeof(struct config_ca),
      .records_offset = offsetof(struct config, ca),
      OPTIONS(ca_options),
      .meaning = "A company's own authority, in place of the one that dejunk makes on first need. "
                 "It must be allowed to sign certificates for servers.",
      .example = "ca {\n    certificate = \"/etc/dejunk/ca.pem\"\n"
                 "    key = \"/etc/dejunk/ca.key\"\n}" },
};

const struct config_section *config_sections(void)
{
    return sections;
}

static const struct config_policy_place policies[CONFIG_POLICIES] = {
    { "connect", offsetof(struct config, connect_policy) },
    { "image", offsetof(struct config, image_policy) },
    { "cookie", offsetof(struct config, cookie_policy) },
};

const struct config_policy_place *config_policies(void)
{
    return policies;
}

const struct config_words *config_kind_words(enum config_kind kind)
{
    static const struct config_words words[CONFIG_KINDS] = {
        [CONFIG_SWITCH] = { "yes or no", "switch", NULL },
        [CONFIG_OVERRIDE] = { "yes or no", "switch", NULL },
        [CONFIG_COUNT] = { "a whole number", "number", NULL },
        [CONFIG_DURATION] = { "a duration such as 300ms, 10s, 5m, 1h or 2d", "duration", NULL },
        [CONFIG_CHOICE] = { "a word that is known here", "word", NULL },
        [CONFIG_PLAIN_TEXT] = { "a text of 1 to 255 printable ASCII characters",
                                "text of 1 to 255 printable ASCII characters", NULL },
        [CONFIG_PATH] = { "an absolute path such as /var/lib/dejunk", "path", "paths of files" },
        [CONFIG_LISTENER] = { "an address and port such as 127.0.0.1:8119 or [::1]:8119", NULL,
                              "addresses with their ports" },
        [CONFIG_BLOCK] = { "an address or range such as 192.168.1.0/24 or fd00::/8", NULL,
                           "addresses and ranges of addresses" },
        [CONFIG_DESTINATION] = { "an address range such as 10.0.0.0/8, 127.0.0.1:8000-8099 or "
                                 "[::1]:80",
                                 NULL,
                                 "addresses and ranges, with or without a port or range of ports" },
        [CONFIG_PORTS] = { "a port or range of ports such as 443 or 8000-8999", NULL,
                           "ports and ranges of ports" },
        [CONFIG_WILDCARD] = { "a host pattern in ASCII such as \"*.example.com\"", NULL,
                              "host patterns" },
        [CONFIG_PARENT] = { "a proxy such as http://10.0.0.1:3128 or socks5://127.0.0.1:9050",
                            "address of a proxy", NULL },
        [CONFIG_PASSWORD] = { "a good password hash; make one with: dejunk passwd", "password hash",
                              NULL },
        [CONFIG_USER_NAME] = { "a user name of 1 to 255 characters without a colon", NULL, NULL },
        [CONFIG_POLICY_NAME] = { "one of connect, image, cookie", NULL, NULL },
        [CONFIG_CLIENT] = { "an address, a range such as 192.168.1.0/24 or a user name", NULL,
                            NULL },
    };

    return &words[kind];
}

const char *config_write_range(const struct config_option *option, char *to)
{
    char least[CONFIG_DURATION_BYTES], most[CONFIG_DURATION_BYTES];

    if (option->kind == CONFIG_DURATION)
        snprintf(to, CONFIG_RANGE_BYTES, "%s to %s", config_write_duration(option->least, least),
                 config_write_duration(option->most, most));
    else
        snprintf(to, CONFIG_RANGE_BYTES, "%" PRIu64 " to %" PRIu64, option->least, option->most);
    return to;
}
