package github

// An operation is one named GraphQL query. A test checks every one against GitHub's published schema.
type operation struct{ name, text string }

// operations are all there are, for that test and for the metrics.
var operations = []operation{
	pullRequestQuery, teamlessQuery, filesQuery, labelsQuery, reviewsQuery, commentsQuery, threadsQuery, threadQuery, checksQuery, openPullsQuery,
	loadsQuery, coAuthorsQuery, blobsQuery, fileQuery, rulesQuery, dependentsQuery,
}

// pageMost is GitHub's largest page.
const pageMost = 100

// pullRequestQuery is what a pass costs: one request, one point. Its connections would be about 112 requests, nearly all of
// them the comments of a hundred threads, and GitHub rounds the hundredth of that. mergeable has to be selected itself,
// since only that makes GitHub compute mergeability; mergeStateStatus alone does not.
var pullRequestQuery = operation{"PullRequest", pullRequestText("PullRequest", "... on Team { combinedSlug }")}

// teamlessQuery is the same for a classic token without the scope read:org. With it, GitHub answers nothing at all to a query
// that asks for a field of a team.
var teamlessQuery = operation{"PullRequestTeamless", pullRequestText("PullRequestTeamless", "")}

func pullRequestText(name, team string) string {
	return `
query ` + name + `($owner: String!, $name: String!, $number: Int!, $policy: String!, $page: Int!, $inner: Int!) {
  viewer { databaseId login }
  rateLimit { cost limit remaining resetAt }
  repository(owner: $owner, name: $name) {
    databaseId
    name
    owner { login }
    isArchived
    isPrivate
    mergeCommitAllowed
    squashMergeAllowed
    rebaseMergeAllowed
    viewerPermission
    defaultBranchRef { name }
    object(expression: $policy) { ...document }
    pullRequest(number: $number) {
      id
      number
      url
      title
      body
      state
      isDraft
      createdAt
      updatedAt
      mergedAt
      author { ...actor }
      mergedBy { ...actor }
      mergeCommit { oid }
      headRefName
      headRefOid
      headRef { target { oid } }
      headRepository { databaseId name owner { login } }
      baseRefName
      baseRefOid
      baseRef { target { oid } }
      isCrossRepository
      isMergeQueueEnabled
      mergeable
      mergeStateStatus
      additions
      deletions
      changedFiles
      labels(first: $page) { ...labels }
      files(first: $page) { ...files }
      milestone { title }
      assignees(first: 100) { nodes { __typename login databaseId } }
      reviewRequests(first: 100) {
        nodes {
          asCodeOwner
          requestedReviewer { __typename ...actor ` + team + ` }
        }
      }
      reviews(last: $page) { ...reviews }
      comments(last: $page, orderBy: {field: UPDATED_AT, direction: ASC}) { ...comments }
      reviewThreads(last: $page) { ...threads }
      moves: timelineItems(last: 100, itemTypes: [HEAD_REF_FORCE_PUSHED_EVENT]) {
        nodes { ... on HeadRefForcePushedEvent { createdAt afterCommit { oid } } }
      }
      rebased: timelineItems(last: 1, itemTypes: [BASE_REF_CHANGED_EVENT, AUTOMATIC_BASE_CHANGE_SUCCEEDED_EVENT]) {
        nodes { ... on BaseRefChangedEvent { createdAt } ... on AutomaticBaseChangeSucceededEvent { createdAt } }
      }
      mergeQueueEntry {
        position
        state
        enqueuer { ...actor }
        baseCommit { oid }
        headCommit { oid statusCheckRollup { state contexts(first: 100) { ...contexts } } }
        mergeQueue { entries(first: 100) { pageInfo { hasNextPage } nodes { pullRequest { number } } } }
      }
      timelineItems(last: 100, itemTypes: [LABELED_EVENT, UNLABELED_EVENT]) {
        nodes {
          __typename
          ... on LabeledEvent { createdAt actor { ...actor } label { name } }
          ... on UnlabeledEvent { createdAt actor { ...actor } label { name } }
        }
      }
      commits(last: 1) {
        totalCount
        nodes { commit { oid statusCheckRollup { state contexts(first: $page) { ...contexts } } } }
      }
    }
  }
  defaults: repository(owner: $owner, name: ".github") {
    name
    owner { login }
    defaultBranchRef { name }
    object(expression: $policy) { ...document }
  }
}
` + documentFragment + actorFragment + labelsFragment + filesFragment + reviewsFragment + commentsFragment + threadsFragment + reactedFragment + contextsFragment
}

// The next pages of one list each. They select the head and base again, because pages of two different states must not
// be put together.
var (
	filesQuery = operation{"PullRequestFiles", `
query PullRequestFiles($owner: String!, $name: String!, $number: Int!, $page: Int!, $cursor: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) { headRefOid baseRefOid files(first: $page, after: $cursor) { ...files } }
  }
}
` + filesFragment}

	labelsQuery = operation{"PullRequestLabels", `
query PullRequestLabels($owner: String!, $name: String!, $number: Int!, $page: Int!, $cursor: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) { headRefOid baseRefOid labels(first: $page, after: $cursor) { ...labels } }
  }
}
` + labelsFragment}

	// reviewsQuery goes back in time.
	reviewsQuery = operation{"PullRequestReviews", `
query PullRequestReviews($owner: String!, $name: String!, $number: Int!, $page: Int!, $cursor: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) { headRefOid baseRefOid reviews(last: $page, before: $cursor) { ...reviews } }
  }
}
` + reviewsFragment + reactedFragment + actorFragment}

	// commentsQuery goes back to what was changed longer ago.
	commentsQuery = operation{"PullRequestComments", `
query PullRequestComments($owner: String!, $name: String!, $number: Int!, $page: Int!, $cursor: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      headRefOid
      baseRefOid
      comments(last: $page, before: $cursor, orderBy: {field: UPDATED_AT, direction: ASC}) { ...comments }
    }
  }
}
` + commentsFragment + reactedFragment + actorFragment}

	// threadsQuery goes back in time.
	threadsQuery = operation{"PullRequestThreads", `
query PullRequestThreads($owner: String!, $name: String!, $number: Int!, $page: Int!, $inner: Int!, $cursor: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) { headRefOid baseRefOid reviewThreads(last: $page, before: $cursor) { ...threads } }
  }
}
` + threadsFragment + reactedFragment + actorFragment}

	// threadQuery goes back in one thread.
	threadQuery = operation{"ThreadComments", `
query ThreadComments($node: ID!, $page: Int!, $cursor: String) {
  node(id: $node) {
    ... on PullRequestReviewThread { comments(last: $page, before: $cursor) { ...threadComments } }
  }
}
` + threadCommentsFragment + reactedFragment + actorFragment}

	// checksQuery goes by the commit, not by the pull request, so that no push can mix two heads.
	checksQuery = operation{"CommitChecks", `
query CommitChecks($owner: String!, $name: String!, $number: Int!, $oid: GitObjectID!, $page: Int!, $cursor: String) {
  repository(owner: $owner, name: $name) {
    object(oid: $oid) {
      ... on Commit { oid statusCheckRollup { state contexts(first: $page, after: $cursor) { ...contexts } } }
    }
  }
}
` + contextsFragment + actorFragment}
)

const documentFragment = `
fragment document on GitObject {
  __typename
  oid
  ... on Blob { byteSize isBinary isTruncated text }
}
`

const actorFragment = `
fragment actor on Actor {
  __typename
  login
  ... on User { databaseId }
  ... on Bot { databaseId }
  ... on Organization { databaseId }
  ... on Mannequin { databaseId }
}
`

const labelsFragment = `
fragment labels on LabelConnection {
  pageInfo { hasNextPage endCursor }
  nodes { name }
}
`

const filesFragment = `
fragment files on PullRequestChangedFileConnection {
  pageInfo { hasNextPage endCursor }
  nodes { path changeType additions deletions }
}
`

const reviewsFragment = `
fragment reviews on PullRequestReviewConnection {
  pageInfo { hasPreviousPage startCursor }
  nodes {
    id
    fullDatabaseId
    author { ...actor }
    authorCanPushToRepository
    body
    editor { ...actor }
    lastEditedAt
    reactionGroups { ...reacted }
    state
    commit { oid }
    submittedAt
  }
}
`

const reactedFragment = `
fragment reacted on ReactionGroup { content viewerHasReacted }
`

const commentsFragment = `
fragment comments on IssueCommentConnection {
  pageInfo { hasPreviousPage startCursor }
  nodes {
    id
    fullDatabaseId
    author { ...actor }
    body
    createdAt
    updatedAt
    editor { ...actor }
    lastEditedAt
    reactionGroups { ...reacted }
  }
}
`

const threadsFragment = `
fragment threads on PullRequestReviewThreadConnection {
  pageInfo { hasPreviousPage startCursor }
  nodes {
    id
    isResolved
    isOutdated
    comments(last: $inner) { ...threadComments }
  }
}
` + threadCommentsFragment

const threadCommentsFragment = `
fragment threadComments on PullRequestReviewCommentConnection {
  pageInfo { hasPreviousPage startCursor }
  nodes {
    id
    fullDatabaseId
    author { ...actor }
    body
    createdAt
    originalCommit { oid }
    editor { ...actor }
    lastEditedAt
    reactionGroups { ...reacted }
  }
}
`

const contextsFragment = `
fragment contexts on StatusCheckRollupContextConnection {
  ...counts
  pageInfo { hasNextPage endCursor }
  nodes {
    __typename
    ... on CheckRun {
      databaseId
      name
      status
      conclusion
      startedAt
      permalink
      detailsUrl
      externalId
      title
      summary
      isRequired(pullRequestNumber: $number)
      checkSuite { databaseId createdAt app { databaseId slug } }
    }
    ... on StatusContext {
      context
      state
      description
      targetUrl
      createdAt
      creator { ...actor }
      isRequired(pullRequestNumber: $number)
    }
  }
}
` + countsFragment

// countsFragment says how many checks are in which state: what the sweep knows of them.
const countsFragment = `
fragment counts on StatusCheckRollupContextConnection {
  checkRunCountsByState { state count }
  statusContextCountsByState { state count }
}
`
