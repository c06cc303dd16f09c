-- History of the service, projected from the shards' logs. Written by one projector per shard, read by everybody else.
-- Money, prices and quantities are exact decimals with 8 places; times are instants. Nothing here is asked for a decision
-- about risk or money: those are the engine's, in memory.
--
-- Tables that grow are partitioned by month; the partitions are made by the projector as their months come. The first
-- column of such a key is the time that decides, which never changes for a row. No secret is kept here: no password, no
-- token, no key.

CREATE SCHEMA IF NOT EXISTS coinbitclub;

-- How far each shard's log is in this database: written in the same transaction as the rows.
CREATE TABLE coinbitclub.projector_progress (
    generation  bigint      NOT NULL,
    shard       integer     NOT NULL,
    lsn         bigint      NOT NULL,
    salt        bytea       NOT NULL,
    complete    boolean     NOT NULL DEFAULT false,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (generation, shard)
);
COMMENT ON COLUMN coinbitclub.projector_progress.complete IS
    'All of this log is here, and it has ended: the next generation''s logs go on from it.';
COMMENT ON COLUMN coinbitclub.projector_progress.salt IS 'Of the log: rows of another data directory are not mixed in.';

-- Records that the database refused, one by one, with why. An operator looks at these.
CREATE TABLE coinbitclub.refused_records (
    generation  bigint      NOT NULL,
    shard       integer     NOT NULL,
    lsn         bigint      NOT NULL,
    error       text        NOT NULL,
    refused_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (generation, shard, lsn)
);

CREATE TABLE coinbitclub.users (
    user_id       bigint      NOT NULL PRIMARY KEY,
    email         text        NOT NULL,
    zone          text        NOT NULL,
    active        boolean     NOT NULL,
    halted        boolean     NOT NULL,
    created_at    timestamptz NOT NULL,
    trial_ends_at timestamptz,
    plan_ends_at  timestamptz
);

CREATE TABLE coinbitclub.exchange_accounts (
    user_id     bigint   NOT NULL,
    account     smallint NOT NULL,
    venue       text     NOT NULL,
    currency    text     NOT NULL,
    enabled     boolean  NOT NULL,
    key_healthy boolean  NOT NULL,
    PRIMARY KEY (user_id, account)
);

CREATE TABLE coinbitclub.sources (
    owner_id bigint   NOT NULL,
    source   smallint NOT NULL,
    name     text     NOT NULL,
    halted   boolean  NOT NULL,
    PRIMARY KEY (owner_id, source)
);

CREATE TABLE coinbitclub.subscriptions (
    user_id  bigint   NOT NULL,
    owner_id bigint   NOT NULL,
    source   smallint NOT NULL,
    account  smallint NOT NULL,
    active   boolean  NOT NULL,
    settings jsonb    NOT NULL,
    PRIMARY KEY (user_id, owner_id, source)
);

CREATE TABLE coinbitclub.signals (
    accepted_at    timestamptz NOT NULL,
    signal_id      text        NOT NULL,
    owner_id       bigint      NOT NULL,
    source         smallint    NOT NULL,
    kind           text        NOT NULL,
    symbol         text        NOT NULL,
    price          numeric(20, 8),
    leverage       smallint,
    stop_loss      numeric(20, 8),
    take_profit    numeric(20, 8),
    signal_at      timestamptz,
    expires_at     timestamptz,
    body           text        NOT NULL,
    superseded_by  bigint,
    users          bigint,
    intents        bigint,
    skipped        bigint,
    finished_at    timestamptz,
    PRIMARY KEY (accepted_at, signal_id)
) PARTITION BY RANGE (accepted_at);
CREATE INDEX ON coinbitclub.signals (owner_id, source, accepted_at DESC);
CREATE INDEX ON coinbitclub.signals (signal_id);

-- What came of a signal for a subscriber.
CREATE TABLE coinbitclub.receipts (
    decided_at timestamptz NOT NULL,
    user_id    bigint      NOT NULL,
    signal_id  text        NOT NULL,
    account    smallint    NOT NULL,
    outcome    text        NOT NULL,
    reason     text,
    sent_at    timestamptz,
    filled_at  timestamptz,
    done_at    timestamptz,
    PRIMARY KEY (decided_at, user_id, signal_id)
) PARTITION BY RANGE (decided_at);
CREATE INDEX ON coinbitclub.receipts (user_id, decided_at DESC);
CREATE INDEX ON coinbitclub.receipts (signal_id);

CREATE TABLE coinbitclub.orders (
    decided_at    timestamptz    NOT NULL,
    order_id      text           NOT NULL,
    user_id       bigint         NOT NULL,
    account       smallint       NOT NULL,
    signal_id     text           NOT NULL,
    position_id   text           NOT NULL,
    leg           text           NOT NULL,
    symbol        text           NOT NULL,
    side          text           NOT NULL,
    kind          text           NOT NULL,
    price         numeric(20, 8),
    quantity      numeric(20, 8) NOT NULL,
    reduce_only   boolean        NOT NULL,
    leverage      smallint       NOT NULL,
    state         text           NOT NULL,
    reason        text,
    filled        numeric(20, 8) NOT NULL,
    notional      numeric(20, 8) NOT NULL,
    fees          numeric(20, 8) NOT NULL,
    sent_at       timestamptz,
    filled_at     timestamptz,
    done_at       timestamptz,
    PRIMARY KEY (decided_at, order_id)
) PARTITION BY RANGE (decided_at);
CREATE INDEX ON coinbitclub.orders (user_id, decided_at DESC);
COMMENT ON COLUMN coinbitclub.orders.price IS 'Limit or trigger price; NULL for a market order.';

CREATE TABLE coinbitclub.fills (
    at          timestamptz    NOT NULL,
    order_id    text           NOT NULL,
    number      bigint         NOT NULL,
    user_id     bigint         NOT NULL,
    account     smallint       NOT NULL,
    position_id text           NOT NULL,
    symbol      text           NOT NULL,
    side        text           NOT NULL,
    price       numeric(20, 8) NOT NULL,
    quantity    numeric(20, 8) NOT NULL,
    fee         numeric(20, 8) NOT NULL,
    realised    numeric(20, 8) NOT NULL,
    liquidity   text           NOT NULL,
    venue_at    timestamptz,
    PRIMARY KEY (at, order_id, number)
) PARTITION BY RANGE (at);
CREATE INDEX ON coinbitclub.fills (user_id, at DESC);
COMMENT ON COLUMN coinbitclub.fills.order_id IS
    'For the venue''s own executions: liquidation:<user>:<account>, numbered by the venue.';

CREATE TABLE coinbitclub.positions (
    decided_at     timestamptz    NOT NULL,
    user_id        bigint         NOT NULL,
    position_id    text           NOT NULL,
    account        smallint       NOT NULL,
    symbol         text           NOT NULL,
    side           text           NOT NULL,
    state          text           NOT NULL,
    leverage       smallint       NOT NULL,
    quantity       numeric(20, 8) NOT NULL,
    entry_cost     numeric(20, 8) NOT NULL,
    entry_quantity numeric(20, 8) NOT NULL,
    realised       numeric(20, 8) NOT NULL,
    fees           numeric(20, 8) NOT NULL,
    funding        numeric(20, 8) NOT NULL,
    stop           numeric(20, 8) NOT NULL,
    take_profit    numeric(20, 8) NOT NULL,
    liquidation    numeric(20, 8) NOT NULL,
    opened_at      timestamptz,
    closed_at      timestamptz,
    close_reason   text,
    PRIMARY KEY (decided_at, user_id, position_id, account)
) PARTITION BY RANGE (decided_at);
CREATE INDEX ON coinbitclub.positions (user_id, decided_at DESC);
CREATE INDEX ON coinbitclub.positions (user_id, closed_at DESC);
COMMENT ON COLUMN coinbitclub.positions.position_id IS 'The signal that opened it.';

-- What a closed position cost its owner: DOMAIN, fees.
CREATE TABLE coinbitclub.fees (
    at           timestamptz    NOT NULL,
    user_id      bigint         NOT NULL,
    position_id  text           NOT NULL,
    account      smallint       NOT NULL,
    currency     text           NOT NULL,
    net          numeric(20, 8) NOT NULL,
    from_credit  numeric(20, 8) NOT NULL,
    from_real    numeric(20, 8) NOT NULL,
    owed         numeric(20, 8) NOT NULL,
    carried_loss numeric(20, 8) NOT NULL,
    PRIMARY KEY (at, user_id, position_id, account)
) PARTITION BY RANGE (at);

-- The journal. An entry's postings sum to zero in its currency.
CREATE TABLE coinbitclub.entries (
    at       timestamptz NOT NULL,
    user_id  bigint      NOT NULL,
    number   bigint      NOT NULL,
    key      text        NOT NULL,
    currency text        NOT NULL,
    PRIMARY KEY (at, user_id, number),
    UNIQUE (at, user_id, key)
) PARTITION BY RANGE (at);

CREATE TABLE coinbitclub.postings (
    at       timestamptz    NOT NULL,
    user_id  bigint         NOT NULL,
    number   bigint         NOT NULL,
    line     smallint       NOT NULL,
    account  text           NOT NULL,
    currency text           NOT NULL,
    amount   numeric(20, 8) NOT NULL,
    PRIMARY KEY (at, user_id, number, line)
) PARTITION BY RANGE (at);
COMMENT ON COLUMN coinbitclub.postings.number IS
    'The entry''s. Number 0: the balances a history that begins in the middle begins with.';

-- What people did and what went wrong, for whoever has to explain it later.
CREATE TABLE coinbitclub.audit_trail (
    at         timestamptz NOT NULL,
    generation bigint      NOT NULL,
    shard      integer     NOT NULL,
    lsn        bigint      NOT NULL,
    place      smallint    NOT NULL,
    user_id    bigint      NOT NULL,
    kind       text        NOT NULL,
    detail     jsonb       NOT NULL,
    PRIMARY KEY (at, generation, shard, lsn, place)
) PARTITION BY RANGE (at);
CREATE INDEX ON coinbitclub.audit_trail (user_id, at DESC);
