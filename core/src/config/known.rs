//! Every key that Apache's broker, name server and client know (4.9 and 5.3), so that a file which uses one that nothing here
//! obeys yet is told so, and a misspelt one is told what was meant.

use super::table::Process;

/// What is known about a key that stands in no table of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Apache's process of this kind knows it, ours does not obey it yet.
    NotObeyedYet,
    /// It sizes a thread pool, or the queue before one, of Apache's process of this kind; there are no pools here.
    NotNeeded,
    /// It belongs to another process or object.
    Elsewhere(&'static str),
    /// Nobody knows it; the nearest known key if one is near.
    Unknown(Option<&'static str>),
}

/// Judges a key that is in none of our tables: those of one process, or of several that are set together. `ours` are the
/// keys that they obey.
pub(super) fn judge(key: &str, processes: &[Process], ours: impl Iterator<Item = &'static str>) -> Verdict {
    let (own, others): (&[&str], &[_]) = match processes {
        [Process::Broker] => (&[BROKER, NETTY], &[(NAMESRV, "name server")]),
        [Process::Namesrv] => (&[NAMESRV, NETTY], &[(BROKER, "broker")]),
        [Process::Client] => (&[CLIENT, NETTY], &[(PRODUCER, "producer"), (CONSUMER, "consumer")]),
        [Process::Producer] => (&[PRODUCER], &[(CONSUMER, "consumer"), (CLIENT, "client")]),
        [Process::Consumer] => (&[CONSUMER], &[(PRODUCER, "producer"), (CLIENT, "client")]),
        // A server with its client.
        _ => (&[BROKER, NAMESRV, CLIENT, NETTY], &[(PRODUCER, "producer"), (CONSUMER, "consumer")]),
    };
    let mut known = own.iter().flat_map(|names| names.split_ascii_whitespace());
    if known.clone().any(|name| name == key) {
        return match POOLS.split_ascii_whitespace().any(|name| name == key) {
            true => Verdict::NotNeeded,
            false => Verdict::NotObeyedYet,
        };
    }
    for (keys, other) in others {
        if keys.split_ascii_whitespace().any(|name| name == key) {
            return Verdict::Elsewhere(other);
        }
    }
    // Upper and lower case count as equal here: `transactionTimeout` is meant for `transactionTimeOut`.
    let wanted = key.to_lowercase();
    let near = |name: &'static str| (distance(&wanted, &name.to_lowercase()), name);
    let nearest = ours.map(near).chain(known.by_ref().map(near)).min();
    let limit = (key.chars().count() / 3).max(2);
    Verdict::Unknown(nearest.filter(|(distance, _)| *distance <= limit).map(|(_, name)| name))
}

/// Number of characters to insert, delete or replace to make one text the other.
fn distance(one: &str, other: &str) -> usize {
    // A key is a few dozen characters; a megabyte of garbage before a `=` is near nothing.
    if one.len() > 200 {
        return usize::MAX;
    }
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// Keys of servers that size their thread pools and the queues before them.
const POOLS: &str = "
    ackMessageThreadPoolNums ackThreadPoolQueueCapacity adminBrokerThreadPoolNums
    adminBrokerThreadPoolQueueCapacity batchDispatchRequestThreadPoolNums
    clientManageThreadPoolNums clientManagerThreadPoolQueueCapacity clientRequestThreadPoolNums
    clientRequestThreadPoolQueueCapacity consumerManageThreadPoolNums
    consumerManagerThreadPoolQueueCapacity controllerRequestThreadPoolQueueCapacity
    controllerThreadPoolNums defaultThreadPoolNums defaultThreadPoolQueueCapacity
    endTransactionPoolQueueCapacity endTransactionThreadPoolNums heartbeatThreadPoolNums
    heartbeatThreadPoolQueueCapacity litePullMessageThreadPoolNums litePullThreadPoolQueueCapacity
    loadBalanceProcessorThreadPoolNums loadBalanceThreadPoolQueueCapacity
    processReplyMessageThreadPoolNums pullMessageThreadPoolNums pullThreadPoolQueueCapacity
    putMessageFutureThreadPoolNums putThreadPoolQueueCapacity queryMessageThreadPoolNums
    queryThreadPoolQueueCapacity recoverThreadPoolNums replyThreadPoolQueueCapacity
    sendMessageThreadPoolNums serverCallbackExecutorThreads serverSelectorThreads serverWorkerThreads
";

/// Keys of broker, store and authentication.
const BROKER: &str = "
    accessMessageInMemoryHotRatio accessMessageInMemoryMaxRatio accountStatsEnable
    accountStatsPrintZeroValues ackMessageThreadPoolNums ackThreadPoolQueueCapacity
    aclCacheExpiredSecond aclCacheMaxNum aclCacheRefreshSecond aclEnable adminBrokerThreadPoolNums
    adminBrokerThreadPoolQueueCapacity allAckInSyncStateSet allowRecallWhenBrokerNotWriteable
    appendAckAsync appendCkAsync asyncLearner asyncSendEnable authConfigPath authenticationEnabled
    authenticationMetadataProvider authenticationProvider authenticationStrategy authenticationWhitelist
    authorizationEnabled authorizationMetadataProvider authorizationProvider authorizationStrategy
    authorizationWhitelist autoCreateSubscriptionGroup autoCreateTopicEnable autoDeleteUnusedStats
    autoMessageVersionOnTopicLen batchDispatchRequestThreadPoolNums bitMapLengthConsumeQueueExt
    bottomMostCompressionTypeForConsumeQueueStore broadcastOffsetExpireMaxSecond
    broadcastOffsetExpireSecond brokerClusterName brokerConfigPath brokerElectionPriority
    brokerFastFailureEnable brokerHeartbeatInterval brokerIP1 brokerIP2 brokerId brokerName
    brokerNotActiveTimeoutMillis brokerPermission brokerRole brokerTopicEnable cgColdReadThreshold
    channelExpiredTimeout channelNotActiveInterval checkCRCOnRecover checkSyncStateSetPeriod
    cleanFileForciblyEnable cleanOfflineBrokerInterval cleanResourceInterval
    cleanRocksDBDirtyCQIntervalMin cleanSwapedMapInterval clearRetryTopicWhenDeleteTopic
    clientAsyncSemaphoreValue clientCallbackExecutorThreads clientChannelMaxIdleTimeSeconds
    clientCloseSocketIfTimeout clientManageThreadPoolNums clientManagerThreadPoolQueueCapacity
    clientOnewaySemaphoreValue clientPooledByteBufAllocatorEnable clientSocketRcvBufSize
    clientSocketSndBufSize clientWorkerThreads clusterName clusterTopicEnable coldCtrStrategyEnable
    coldDataFlowControlEnable coldDataScanEnable combineAssignOffsetCQType combineCQEnableCheckSelf
    combineCQLoadingCQTypes combineCQMaxExtraSearchCommitLogFiles combineCQPreferCQType
    commercialBaseCount commercialBigCount commercialEnable commercialSizePerMsg commercialTimerCount
    commercialTransCount commitCommitLogLeastPages commitCommitLogThoroughInterval
    commitIntervalCommitLog commitLogForceSwapMapInterval commitLogSwapMapInterval
    commitLogSwapMapReserveFileNum compactionCqMappedFileSize compactionMappedFileSize
    compactionScheduleInternal compactionThreadNum compatibleWithOldNameSrv compressedRegister
    configBlackList configManagerVersion configName connectTimeoutMillis consumerFallbehindThreshold
    consumerManageThreadPoolNums consumerManagerThreadPoolQueueCapacity consumerOffsetUpdateVersionStep
    controllerAddr controllerHeartBeatTimeoutMills correctLogicMinOffsetForceInterval
    correctLogicMinOffsetSleepInterval dLegerGroup dLegerPeers dLegerSelfId dataReadAheadEnable
    debugLockEnable defaultMessageRequestMode defaultPopShareQueueNum defaultQueryMaxNum
    defaultTopicQueueNums delayOffsetUpdateVersionStep deleteCommitLogFilesInterval
    deleteConsumeQueueFilesInterval deleteFileBatchMax deleteWhen destroyMapedFileIntervalForcibly
    disableCallbackExecutor disableConsumeIfConsumerReadSlowly disableNettyWorkerGroup
    disappearTimeAfterStart diskFallRecorded diskMaxUsedSpaceRatio diskSpaceCleanForciblyRatio
    diskSpaceWarningLevelRatio dispatchCqCacheNum dispatchCqThreads dispatchFromSenderThread
    duplicationEnable enableAcceleratedRecovery enableAsyncReput enableAutoInSyncReplicas
    enableBatchPush enableBroadcastOffsetStore enableBuildConsumeQueueConcurrently
    enableCalcFilterBitMap enableCleanExpiredOffset enableCompaction enableConnectionMetrics
    enableConsumeQueueExt enableControllerMode enableCreateSysGroup enableDLegerCommitLog
    enableDetailStat enableFastChannelEventProcess enableLagAndDlqMetrics enableLmq enableLmqStats
    enableLogConsumeQueueRepeatedlyBuildWhenRecover enableMessageStoreMetrics enableMixedMessageType
    enableMultiDispatch enableNetWorkFlowControl enableNotifyAfterPopOrderLockRelease
    enableNotifyBeforePopCalculateLag enablePopBatchAck enablePopBufferMerge enablePopLog
    enablePopMessageThreshold enablePopMetrics enablePropertyFilter enableReconnectForGoAway
    enableRegisterProducer enableRemoteEscape enableRemotingMetrics enableRequestMetrics
    enableRetryTopicV2 enableRocksDBLog enableRunningFlagsInFlush enableScheduleAsyncDeliver
    enableScheduleMessageStats enableSingleTopicRegister enableSkipLongAwaitingAck
    enableSlaveActingMaster enableSplitMetadata enableSplitRegistration enableStatsMetrics
    enableTransactionMetrics enabledAppendPropCRC endTransactionPoolQueueCapacity
    endTransactionThreadPoolNums estimateAccumulation expectConsumerNumUseFilter
    fastFailIfNoBufferInStorePool fetchControllerAddrByDnsLookup fetchNameSrvAddrByDnsLookup
    fetchNamesrvAddrByAddressServer fetchNamesrvAddrInterval fileReservedTime filterDataCleanTimeSpan
    filterServerNums filterSupportRetry flushCommitLogLeastPages flushCommitLogThoroughInterval
    flushCommitLogTimed flushConsumeQueueLeastPages flushConsumeQueueThoroughInterval
    flushConsumerOffsetHistoryInterval flushConsumerOffsetInterval flushDelayOffsetInterval
    flushDiskType flushIntervalCommitLog flushIntervalConsumeQueue flushLeastPagesWhenWarmMapedFile
    forceRegister forceVerifyPropCRC forwardTimeout globalColdReadThreshold haFlowControlEnable
    haHousekeepingInterval haListenPort haMasterAddress haMaxGapNotInSync haMaxTimeSlaveNotCatchup
    haSendHeartbeatInterval haSlaveFallbehindMax haTransferBatchSize heartbeatThreadPoolNums
    heartbeatThreadPoolQueueCapacity highSpeedMode inSyncReplicas initAuthenticationUser
    initPopOffsetByCheckMsgInMem innerClientAuthenticationCredentials isBrokerContainer
    isEnableBatchPush isInBrokerContainer isScanAvailableNameSrv isolateLogEnable listenPort
    litePullMessageEnable litePullMessageThreadPoolNums litePullThreadPoolQueueCapacity
    loadBalancePollNameServerInterval loadBalanceProcessorThreadPoolNums
    loadBalanceThreadPoolQueueCapacity lockInStrictMode logicQueueForceSwapMapInterval
    logicQueueSwapMapInterval logicQueueSwapMapReserveFileNum logicalDiskSpaceCleanForciblyThreshold
    longPollingEnable mappedFileSizeCommitLog mappedFileSizeConsumeQueue mappedFileSizeConsumeQueueExt
    mappedFileSizeTimerLog mappedFileSwapEnable mapperFileSizeBatchConsumeQueue
    maxAsyncPutMessageRequests maxBatchDeleteFilesNum maxChecksumRange maxConsumeQueueScan maxDelayTime
    maxErrorRateOfBloomFilter maxFilterMessageSize maxHaTransferByteInSecond maxHashSlotNum maxIndexNum
    maxLmqConsumeQueueNum maxMessageSize maxMsgsNumBatch maxOffsetMapSize maxPopPollingSize
    maxReconnectIntervalTimeSeconds maxRecoveryCommitlogFiles maxSlaveResendLength
    maxStatsIdleTimeInMinutes maxTopicLength maxTransferBytesOnMessageInDisk
    maxTransferBytesOnMessageInMemory maxTransferCountOnMessageInDisk maxTransferCountOnMessageInMemory
    memTableFlushIntervalMs messageDelayLevel messageIndexEnable messageIndexSafe messageStorePlugIn
    metricGrpcExporterIntervalInMills metricGrpcExporterTimeOutInMills
    metricLoggingExporterIntervalInMills metricsExporterType metricsGrpcExporterHeader
    metricsGrpcExporterTarget metricsInDelta metricsLabel metricsOtelCardinalityLimit
    metricsPromExporterHost metricsPromExporterPort migrateAuthFromV1Enabled minInSyncReplicas
    msgTraceTopicName namesrvAddr notifyConsumerIdsChangedEnable offsetCheckInSlave
    osPageCacheBusyTimeOutMills popCkMaxBufferSize popCkOffsetMaxQueueSize popCkStayBufferTime
    popCkStayBufferTimeOut popConsumerFSServiceInit popConsumerKVServiceEnable popConsumerKVServiceInit
    popConsumerKVServiceLog popFromRetryProbability popInflightMessageThreshold
    popLongPollingForceNotifyInterval popPollingMapExpireTimeSeconds popPollingMapSize popPollingSize
    popResponseReturnActualRetryTopic popReviveMaxAttemptTimes popReviveMaxReturnSizePerRead
    preferredLeaderId printChannelGroups printChannelGroupsMinNum processReplyMessageThreadPoolNums
    pullBatchMaxMessageCount pullMessageThreadPoolNums pullThreadPoolQueueCapacity
    putConsumeQueueDataByFileChannel putMessageFutureThreadPoolNums putMessageTimeout
    putMsgIndexHightWater putThreadPoolQueueCapacity queryMessageThreadPoolNums
    queryThreadPoolQueueCapacity readOnlyCommitLogStorePaths readUnCommitted
    realTimeNotifyConsumerChange realTimePersistRocksDBConfig recallMessageEnable
    recheckReputOffsetFromCq recoverConcurrently recoverThreadPoolNums redeleteHangedFileInterval
    regionId registerBrokerTimeoutMills registerNameServerPeriod rejectPullConsumerEnable
    rejectTransactionMessage replicasPerDiskPartition replyThreadPoolQueueCapacity
    retrieveMessageFromPopRetryTopicV1 reviveAckWaitMs reviveInterval reviveMaxSlow reviveQueueNum
    reviveScanTime rocketmqHome rocksdbCQDoubleWriteEnable rocksdbCompressionType
    rocksdbFlushWalFrequency rocksdbWalFileRollingThreshold sampleCountThreshold sampleSteps
    scheduleAsyncDeliverMaxPendingLimit scheduleAsyncDeliverMaxResendNum2Blocked searchBcqByCacheEnable
    sendHeartbeatTimeoutMillis sendMessageThreadPoolNums sendThreadPoolQueueCapacity
    serverLoadBalancerEnable shortPollingTimeMills skipPreOnline skipWhenCKRePutReachMaxTimes
    slaveReadEnable slaveTimeout socksProxyConfig spinLockCollisionRetreatOptimalDegree
    splitMetadataSize splitRegistrationSize startAcceptSendRequestTimeStamp statRocksDBCQIntervalSec
    statefulAuthenticationCacheExpiredSecond statefulAuthenticationCacheMaxNum
    statefulAuthorizationCacheExpiredSecond statefulAuthorizationCacheMaxNum storePathBrokerIdentity
    storePathCommitLog storePathDLedgerCommitLog storePathEpochFile storePathRootDir
    storeReplyMessageEnable storeType subscriptionExpiredTimeout syncBrokerMemberGroupPeriod
    syncBrokerMetadataPeriod syncControllerMetadataPeriod syncFlushTimeout syncFromLastFile
    syncMasterFlushOffsetWhenStartup timerCheckMetricsWhen timerColdDataCheckIntervalMs
    timerCongestNumEachSlot timerEnableCheckMetrics timerEnableDisruptor timerEnableRetryUntilSuccess
    timerFlushIntervalMs timerGetMessageThreadNum timerInterceptDelayLevel timerMaxDelaySec
    timerMetricSmallThreshold timerPrecisionMs timerProgressLogIntervalMs timerPutMessageThreadNum
    timerRollWindowSlot timerSkipUnknownError timerStopDequeue timerStopEnqueue timerWarmEnable
    timerWheelEnable topicQueueLockNum totalReplicas traceOn traceTopicEnable transactionCheckInterval
    transactionCheckMax transactionMetricFlushInterval transactionOpBatchInterval
    transactionOpMsgMaxSize transactionTimeOut transferMsgByHeap transientStorePoolEnable
    transientStorePoolSize travelCqFileNumWhenGetMessage updateNameServerAddrPeriod useABSLock
    usePIDColdCtrStrategy useReentrantLockWhenPutMessage useServerSideResetOffset useStaticSubscription
    useTLS userCacheExpiredSecond userCacheMaxNum userCacheRefreshSecond
    validateSystemTopicWhenUpdateTopic waitTimeMillsInAckQueue waitTimeMillsInAdminBrokerQueue
    waitTimeMillsInHeartbeatQueue waitTimeMillsInLitePullQueue waitTimeMillsInPullQueue
    waitTimeMillsInSendQueue waitTimeMillsInTransactionQueue wakeCommitWhenPutMessage
    wakeFlushWhenPutMessage warmMapedFileEnable writeBufferHighWaterMark writeBufferLowWaterMark
    writeWithoutMmap
";

/// Keys of the name server, with the controller that can live in it.
const NAMESRV: &str = "
    clientRequestThreadPoolNums clientRequestThreadPoolQueueCapacity clusterTest configBlackList
    configStorePath controllerDLegerGroup controllerDLegerPeers controllerDLegerSelfId
    controllerRequestThreadPoolQueueCapacity controllerStorePath controllerThreadPoolNums controllerType
    defaultThreadPoolNums defaultThreadPoolQueueCapacity deleteTopicWithBrokerRegistration
    electMasterMaxRetryCount enableAllTopicList enableControllerInNamesrv enableElectUncleanMaster
    enableTopicList isProcessReadEvent kvConfigPath mappedFileSize metricGrpcExporterIntervalInMills
    metricGrpcExporterTimeOutInMills metricLoggingExporterIntervalInMills metricsExporterType
    metricsGrpcExporterHeader metricsGrpcExporterTarget metricsInDelta metricsLabel
    metricsPromExporterHost metricsPromExporterPort needWaitForService notifyBrokerRoleChanged
    notifyMinBrokerIdChanged orderMessageEnable productEnvName returnOrderTopicConfigToBroker
    rocketmqHome scanInactiveMasterInterval scanNotActiveBrokerInterval supportActingMaster
    unRegisterBrokerQueueCapacity waitSecondsForService
";

/// Keys of the listener, known to both, and properties of their JVM.
const NETTY: &str = "
    bindAddress com.rocketmq.remoting.frameMaxLength enableShutdownGracefully listenPort
    rocketmq.broker.rebalance.lockMaxLiveTime rocketmq.remoting.version rocketmq.serialize.type
    serverAsyncSemaphoreValue serverCallbackExecutorThreads serverChannelMaxIdleTimeSeconds
    serverNettyWorkerGroupEnable serverOnewaySemaphoreValue serverPooledByteBufAllocatorEnable
    serverSelectorThreads serverSocketBacklog serverSocketRcvBufSize serverSocketSndBufSize
    serverWorkerThreads shutdownWaitTimeSeconds tls.client.authServer tls.client.certPath
    tls.client.keyPassword tls.client.keyPath tls.client.trustCertPath tls.config.file tls.enable
    tls.server.authClient tls.server.certPath tls.server.keyPassword tls.server.keyPath tls.server.mode
    tls.server.need.client.auth tls.server.trustCertPath tls.test.mode.enable useEpollNativeSelector
    writeBufferHighWaterMark writeBufferLowWaterMark
";

/// Keys of clients.
const CLIENT: &str = "
    accessChannel clientAsyncSemaphoreValue clientCallbackExecutorThreads
    clientChannelMaxIdleTimeSeconds clientCloseSocketIfTimeout clientIP clientOnewaySemaphoreValue
    clientSocketRcvBufSize clientSocketSndBufSize clientWorkerThreads
    com.rocketmq.remoting.frameMaxLength concurrentHeartbeatThreadPoolSize connectTimeoutMillis
    decodeDecompressBody decodeReadBody detectInterval detectTimeout enableConcurrentHeartbeat
    enableHeartbeatChannelEventListener enableStreamRequestType heartbeatBrokerInterval instanceName machineRoom
    maxPageSizeInGetMetadata mqClientApiTimeout namespace namespaceV2 namesrvAddr
    persistConsumerOffsetInterval pollNameServerInterval pullTimeDelayMillsWhenException
    rebalanceInterval sendLatencyEnable serializeType socksProxyConfig startDetectorEnable
    traceMsgBatchNum unitMode unitName useHeartbeatV2 useTLS vipChannelEnabled
";

/// Keys of producers.
const PRODUCER: &str = "
    autoBatch backPressureForAsyncSendNum backPressureForAsyncSendSize batchMaxBytes batchMaxDelayMs
    checkRequestHoldMax checkThreadPoolMaxSize checkThreadPoolMinSize compressLevel
    compressMsgBodyOverHowmuch compressType createTopicKey customizedTraceTopic defaultTopicQueueNums
    enableBackpressureForAsyncMode enableMsgTrace latencyMax maxMessageSize notAvailableDuration
    producerGroup retryAnotherBrokerWhenNotStoreOK retryTimesWhenSendAsyncFailed
    retryTimesWhenSendFailed sendLatencyFaultEnable sendMsgMaxTimeoutPerRequest sendMsgTimeout
    totalBatchMaxBytes
";

/// Keys of consumers.
const CONSUMER: &str = "
    adjustThreadPoolNumsThreshold allocateMessageQueueStrategy autoCommit autoCommitIntervalMillis
    awaitTerminationMillisWhenShutdown brokerSuspendMaxTimeMillis clientRebalance
    consumeConcurrentlyMaxSpan consumeFromWhere consumeMessageBatchMaxSize consumeThreadMax
    consumeThreadMin consumeTimeout consumeTimestamp consumerGroup consumerPullTimeoutMillis
    consumerTimeoutMillisWhenSuspend consumeridcs customizedTraceTopic enableMsgTrace
    maxReconsumeTimes messageModel offsetStoreDir pollBatch pollTimeoutMillis popBatchNums
    popInvisibleTime popThresholdForQueue postSubscriptionWhenPull pullBatchSize pullBatchSizeInBytes
    pullInterval pullThreadNums pullThresholdForAll pullThresholdForQueue pullThresholdForTopic
    pullThresholdSizeForQueue pullThresholdSizeForTopic suspendCurrentQueueTimeMillis
    topicMetadataCheckIntervalMillis virtualNodeCnt
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_told_the_nearest_known_one() {
        let judge = |key: &str| judge(key, &[Process::Broker], ["maxConnections"].into_iter());
        assert_eq!(judge("transactionMsgTimeout"), Verdict::Unknown(Some("transactionTimeOut")));
        assert_eq!(judge("flushDiskTyp"), Verdict::Unknown(Some("flushDiskType")));
        assert_eq!(judge("maxConnection"), Verdict::Unknown(Some("maxConnections")));
        assert_eq!(judge("colour"), Verdict::Unknown(None));
        assert_eq!(judge(&"x".repeat(1 << 20)), Verdict::Unknown(None));
        assert_eq!(judge("timerWheelEnable"), Verdict::NotObeyedYet);
        assert_eq!(judge("sendMessageThreadPoolNums"), Verdict::NotNeeded);
        assert_eq!(judge("kvConfigPath"), Verdict::Elsewhere("name server"));
    }

    #[test]
    fn pools_are_keys_of_apaches_servers() {
        let servers: Vec<&str> =
            [BROKER, NAMESRV, NETTY].iter().flat_map(|keys| keys.split_ascii_whitespace()).collect();
        for pool in POOLS.split_ascii_whitespace() {
            assert!(servers.contains(&pool), "{pool} is in none of the lists");
        }
        // Whoever has a pool is told so: nothing that is named like one is left to wait for.
        for name in servers {
            let is_one = ["ThreadPoolNums", "ThreadPoolQueueCapacity"].iter().any(|end| name.ends_with(end));
            let is_ours = name == "sendThreadPoolQueueCapacity";
            assert!(!is_one || is_ours || POOLS.split_ascii_whitespace().any(|pool| pool == name), "{name}");
        }
    }

    #[test]
    fn distance_counts_single_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
